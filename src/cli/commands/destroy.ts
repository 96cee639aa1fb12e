import type { Command } from 'commander';
import { RootwrightError } from '../../errors.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { withEngine } from '../session.ts';

/** `rootwright destroy`: takes a container's root filesystems down. */
export function addDestroy(program: Command, cli: CommandLine): void {
  program
    .command('destroy')
    .summary("remove a container's root filesystems")
    .description(
      'Unmounts and removes all root filesystems of a container, of those nested in it first. What was written in them is lost. A destroy ' +
        'that failed can be run again and goes on where it stopped. A container that does not exist is an error with exit status 3.',
    )
    .argument('<container>', 'its id')
    .addHelpText(
      'after',
      examples(
        ['destroy web', 'web and every container nested in it'],
        ['destroy web.debug', 'only the nested one'],
        ['destroy web || [ $? -eq 3 ]', 'in a script: gone already is fine too'],
      ),
    )
    .action(async (container: string) => {
      const existed = await withEngine(cli, (engine) => engine.destroy(container, cli.signal));
      if (!existed) throw new RootwrightError('CONTAINER_NOT_FOUND', `there is no container ${JSON.stringify(container)} in ${cli.settings.root}`);
      cli.output.result({ destroyed: container }, () => '');
      cli.output.note(`destroyed ${container}`);
    });
}
