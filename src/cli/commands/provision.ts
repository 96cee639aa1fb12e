import { type Command, Option } from 'commander';
import type { BackendName } from '../../backends/backend.ts';
import type { Platform } from '../../stores/store.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { platformOption } from '../platform.ts';
import { showPull } from '../progress/show-pull.ts';
import { withEngine } from '../session.ts';

/** `rootwright provision`: makes a root filesystem and prints where it is. */
export function addProvision(program: Command, cli: CommandLine): void {
  program
    .command('provision')
    .summary('make a root filesystem for a container')
    .description(
      'Makes a root filesystem for a container from an image and prints its path on standard output. The image is pulled where it is not ' +
        'in the store. A container may have several root filesystems: each call adds one.',
    )
    .argument('<container>', "its id: letters, digits, '_' and '-'; 'parent.child' nests")
    .argument('<image>', "'oci:DIR[:tag]' or 'docker-archive:FILE[:ref]'")
    .addOption(
      new Option('--backend <backend>', 'how to assemble the layers (default: the best that works here)').choices([
        'overlay',
        'aufs',
        'bind',
        'copy',
      ]),
    )
    .addOption(new Option('--pull <when>', 'look the image up at its source').choices(['missing', 'always']).default('missing'))
    .addOption(platformOption())
    .addHelpText(
      'after',
      examples(
        ['provision web oci:/images/alpine:3.20', 'the usual case'],
        ['provision web.debug docker-archive:tools.tar', 'a container nested in web'],
        ['provision ci oci:./app --backend copy', 'a plain directory tree, no mount, no root needed'],
        ['provision web oci:/images/alpine --json | jq -r .rootfs', 'for scripts'],
      ),
    )
    .action(async (container: string, image: string, options: { backend?: BackendName; pull: 'missing' | 'always'; platform?: Platform }) => {
      const { pull, ...rest } = options;
      const provisioned = await withEngine(cli, (engine) =>
        showPull(cli, (onProgress) => engine.provision(container, image, { ...rest, cached: pull === 'missing', onProgress }, cli.signal)),
      );
      cli.output.result({ ...provisioned }, () => `${provisioned.rootfs}\n`);
    });
}
