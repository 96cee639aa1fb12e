import type { Command } from 'commander';
import { RootwrightError } from '../../errors.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import type { Inspection } from '../inspection.ts';
import { count, formatAge, printable, shortDigest } from '../text.ts';

/** `rootwright inspect`: all that is known of one container, read from disk without the engine. */
export function addInspect(program: Command, cli: CommandLine): void {
  program
    .command('inspect')
    .summary('show one container')
    .description(
      'Shows all that is known of one container: its root filesystems, whether they are whole and mounted, their layers, the writable ' +
        'directories that a disk quota must count, and the containers nested in it. It only reads, and works while an engine holds the directory.',
    )
    .argument('<container>', 'its id')
    .addHelpText(
      'after',
      examples(['inspect web', 'for people'], ["inspect web --json | jq -r '.container.rootfses[].rootfs'", 'the paths of its root filesystems']),
    )
    .action(async (id: string) => {
      const { inspect } = await import('../inspection.ts');
      const container = await inspect(cli.settings.root, id);
      if (container === undefined)
        throw new RootwrightError('CONTAINER_NOT_FOUND', `there is no container ${JSON.stringify(id)} in ${cli.settings.root}`, {
          details: { container: id },
        });
      cli.output.result({ container }, () => format(container, cli));
    });
}

function format({ id, state, directory, nested, rootfses, damage }: Inspection, { output: { style } }: CommandLine): string {
  const lines: Array<readonly [string, string]> = [
    ['container', style('bold', id)],
    ['state', state],
    ['directory', printable(directory)],
    ...(damage === undefined ? [] : [['damage', style('red', printable(damage))] as const]),
    ...(nested.length === 0 ? [] : [['nested', nested.join(', ')] as const]),
    ...rootfses.flatMap(
      (rootfs): Array<readonly [string, string]> => [
        ['', ''],
        ['rootfs', printable(rootfs.rootfs)],
        ['  state', `${rootfs.ready ? 'whole' : style('yellow', 'unfinished')}${MOUNTED[String(rootfs.mounted)]}`],
        ['  image', `${printable(rootfs.image)}  ${shortDigest(rootfs.manifestDigest)}`],
        ['  backend', `${rootfs.backend}, ${count(rootfs.layers.length, 'layer')}`],
        ['  created', `${new Date(rootfs.createdAt).toISOString()}  ${formatAge(rootfs.createdAt)}`],
        ...rootfs.ephemeralVolumes.map((volume) => ['  writable', printable(volume)] as const),
      ],
    ),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`.trimEnd().concat('\n')).join('');
}

const MOUNTED: Readonly<Record<string, string>> = { true: ', mounted', false: ', not mounted', undefined: '' };
