import type { Command } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { formatTable } from '../table.ts';
import { formatAge } from '../text.ts';

/** `rootwright list`: the containers, read from disk without the engine, also while another process holds the directory. */
export function addList(program: Command, cli: CommandLine): void {
  program
    .command('list')
    .summary('list the containers')
    .description('Lists the containers, nested ones below their parents. It reads only, and works while another command is at work.')
    .addHelpText('after', examples(['list', 'a table'], ["list --json | jq -r '.containers[].id'", 'ids only']))
    .action(async () => {
      const { readContainers } = await import('../../actors/read-containers.ts');
      const containers = await readContainers(cli.settings.root);
      cli.output.result({ containers }, () =>
        formatTable(
          ['CONTAINER', 'STATE', 'BACKEND', 'ROOTFSES', 'LAYERS', 'IMAGE', 'CREATED'],
          containers.map((container) => rowOf(container)),
          cli.output.style,
        ),
      );
    });
}
