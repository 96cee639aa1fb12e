import type { Command } from 'commander';
import { dockerStoreDir } from '../../paths/docker-store.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { formatTable } from '../table.ts';
import { formatAge, formatBytes, shortDigest } from '../text.ts';

/** `rootwright images`: what the store holds, read from disk without the engine, also while another process holds the directory. */
export function addImages(program: Command, cli: CommandLine): void {
  program
    .command('images')
    .summary('list the images in the store')
    .description(
      'Lists the images in the store. The size counts every form in which the layers are kept; shared layers count in each image. It only reads, and works while an engine holds the directory.',
    )
    .addHelpText('after', examples(['images', 'a table'], ["images --json | jq -r '.images[].name'", 'names only']))
    .action(async () => {
      const { readImages } = await import('../../stores/docker/read-images.ts');
      const images = readImages(dockerStoreDir(cli.settings.root));
      cli.output.result({ images }, () =>
        formatTable(
          ['IMAGE', 'DIGEST', 'LAYERS', 'SIZE', 'PULLED'],
          images.map((image) => [
            image.name,
            shortDigest(image.manifestDigest),
            image.layerIds.length,
            formatBytes(image.bytes),
            formatAge(image.createdAt),
          ]),
          cli.output.style,
        ),
      );
    });
}
