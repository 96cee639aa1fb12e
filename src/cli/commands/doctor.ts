import { type Command, Option } from 'commander';
import type { BackendName } from '../../backends/backend.ts';
import type { BackendAssessment } from '../../backends/assess-backends.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import type { Examination } from '../examination.ts';
import { EXIT } from '../exit-codes.ts';
import { type Cell, formatTable } from '../table.ts';
import { printable } from '../text.ts';

/** `rootwright doctor`: which backends work here, and why. */
export function addDoctor(program: Command, cli: CommandLine): void {
  program
    .command('doctor')
    .summary('say what works on this machine, and why')
    .description(
      'Shows for each backend what it needs, whether that is there and why, which backend is the default, how system calls are made, and the ' +
        'state of the directory. Mounting is tried for real, in a private place, and taken back. Ends with status 7 where no backend works, ' +
        'or not the one asked for.',
    )
    .addOption(new Option('--backend <backend>', 'ask for this backend').choices(['overlay', 'aufs', 'bind', 'copy']))
    .addHelpText(
      'after',
      examples(
        ['doctor', 'the whole table'],
        ['doctor --root /mnt/data/rootwright', 'for another directory, which need not exist yet'],
        ['doctor --backend overlay --quiet >/dev/null || echo no overlay here', 'in a script'],
      ),
    )
    .action(async (options: { backend?: BackendName }) => {
      const { examine } = await import('../examination.ts');
      const examination = await examine(cli.settings.root, options.backend);
      cli.output.result({ ...examination }, () => format(examination, options.backend !== undefined, cli));
      if (examination.chosen === undefined) cli.exitCode = EXIT.unsupported;
    });
}

function format(examination: Examination, asked: boolean, cli: CommandLine): string {
  const { root, backends, chosen, refusal, kernel, node, user, directories, index } = examination;
  const { style } = cli.output;
  const facts: Array<readonly [string, string]> = [
    [
      'backend',
      chosen === undefined ? style('red', `none: ${printable(refusal ?? '')}`) : `${style(['bold', 'green'], chosen)}  ${whyChosen(chosen, asked)}`,
    ],
    ['kernel', `${kernel.release}, system calls ${kernel.adapter === 'koffi' ? 'made directly (koffi)' : "made by util-linux' programs"}`],
    [
      'overlay',
      kernel.overlayLowerdirAppend ? 'layers are given to overlay one by one' : 'layers are given to overlay in one string, through short links',
    ],
    ['node', node],
    ['user', user],
    ['root', `${printable(root)}  ${INDEX_STATES[index]}`],
    ...directories.map(({ name, path, filesystem, writable, freeBytes }): readonly [string, string] => [
      name,
      `${printable(path)}  on ${filesystem}, ${writable ? 'writable' : style('red', 'not writable')}, ${(freeBytes / 1e9).toFixed(1)} GB free`,
    ]),
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  return `${formatTable(
    ['BACKEND', 'NEEDS', 'OK', 'WHY'],
    backends.map((row) => rowOf(row)),
    style,
  )}\n${facts.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join('')}`;
}

function rowOf({ backend, requirement, ok, why, path }: BackendAssessment): Cell[] {
  return [backend, requirement, { text: ok ? 'yes' : 'no', format: ok ? 'green' : 'red' }, path === undefined ? why : `${why} (${path})`];
}

function whyChosen(chosen: BackendName, asked: boolean): string {
  if (asked) return 'as asked, and all it needs is there';
  const before = PREFERENCE.slice(0, PREFERENCE.indexOf(chosen));
  return before.length === 0 ? 'the first choice, and all it needs is there' : `${before.join(' and ')} would come first, but can't be used here`;
}

/** As chooseBackend has it. */
const PREFERENCE: readonly BackendName[] = ['overlay', 'aufs', 'copy'];

const INDEX_STATES: Readonly<Record<'absent' | 'free' | 'held', string>> = {
  absent: 'nothing there yet',
  free: 'no engine holds it',
  held: 'held by an engine at work',
};
