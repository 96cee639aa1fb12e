import type { Command } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { withEngine } from '../session.ts';
import { formatTable } from '../table.ts';
import { formatAge, formatBytes, shortDigest } from '../text.ts';

/** `rootwright images`: what the store holds. */
export function addImages(program: Command, cli: CommandLine): void {
  program
    .command('images')
    .summary('list the images in the store')
    .description('Lists the images in the store. The size counts every form in which the layers are kept; shared layers count in each image.')
    .addHelpText('after', examples(['images', 'a table'], ["images --json | jq -r '.images[].name'", 'names only']))
    .action(async () => {
      const images = await withEngine(cli, (engine) => engine.images());
      cli.output.result({ images }, () =>
        formatTable(
          ['IMAGE', 'DIGEST', 'LAYERS', 'SIZE', 'USED'],
          images.map((image) => [
            image.name,
            shortDigest(image.manifestDigest),
            image.layerIds.length,
            formatBytes(image.bytes),
            formatAge(image.usedAt),
          ]),
          cli.output.style,
        ),
      );
    });
}
