import { type Command, Option } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { platformOption } from '../platform.ts';
import { showPull } from '../progress/show-pull.ts';
import { withEngine } from '../session.ts';
import { count, shortDigest } from '../text.ts';
import type { LayerForm } from '../../paths/docker-store.ts';
import type { Platform } from '../../stores/store.ts';

/** `rootwright pull`: brings an image's layers into the store, without a container. */
export function addPull(program: Command, cli: CommandLine): void {
  program
    .command('pull')
    .summary('bring an image into the store')
    .description(
      'Verifies and unpacks the layers of an image into the store, so that a later provision needs no work. An image that is present is ' +
        'looked up at its source again, and layers that are present are kept.',
    )
    .argument('<image>', "'oci:DIR[:tag]' or 'docker-archive:FILE[:ref]'")
    .addOption(new Option('--form <form>', 'keep the layers in this form (default: the one the chosen backend takes)').choices(['plain', 'overlay']))
    .addOption(platformOption())
    .addHelpText(
      'after',
      examples(
        ['pull oci:/images/alpine:3.20', 'one tag of an OCI image layout'],
        ['pull docker-archive:app.tar', "what 'docker save' wrote"],
        ['pull oci:./multi:latest --platform linux/arm64/v8', 'another platform of a multi-platform image'],
      ),
    )
    .action(async (image: string, options: { form?: LayerForm; platform?: Platform }) => {
      const pulled = await withEngine(cli, (engine) =>
        showPull(cli, (onProgress) => engine.pull(image, { ...options, cached: false, onProgress }, cli.signal)),
      );
      cli.output.result({ image: pulled }, () => `${pulled.name}  ${shortDigest(pulled.manifestDigest)}  ${count(pulled.layers.length, 'layer')}\n`);
    });
}
