import type { Command } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { withEngine } from '../session.ts';
import { count, formatBytes, printable } from '../text.ts';

/** `rootwright prune`: removes images and layers that no container uses. */
export function addPrune(program: Command, cli: CommandLine): void {
  program
    .command('prune')
    .summary('remove images and layers that no container uses')
    .description(
      'Forgets every image that is not excluded, then removes every layer that neither a remaining image nor a container uses. It waits for ' +
        'provisions and destroys under way; layers of a live root filesystem always stay.',
    )
    .option('--exclude <image>', 'keep this image with all its layers; may be given several times', collect, [])
    .option('--dry-run', 'only tell what would go')
    .addHelpText(
      'after',
      examples(
        ['prune --dry-run', 'look first'],
        ['prune --exclude oci:/images/alpine:3.20 --exclude oci:/images/app', 'keep two images for the next provision'],
      ),
    )
    .action(async ({ exclude, dryRun = false }: { exclude: string[]; dryRun?: boolean }) => {
      const report = await withEngine(cli, (engine) => engine.prune({ exclude, dryRun }, cli.signal));
      cli.output.result({ dryRun, ...report }, () =>
        [...report.images.map((image) => `image  ${printable(image)}\n`), ...report.layers.map((layer) => `layer  ${layer}\n`)].join(''),
      );
      const verb = dryRun ? 'would remove' : 'removed';
      cli.output.note(`${verb} ${count(report.images.length, 'image')} and ${count(report.layers.length, 'layer')}, ${formatBytes(report.bytes)}`);
    });
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}
