import { Command } from 'commander';
import type { CommandLine } from './command-line.ts';
import { addCompletion } from './commands/completion.ts';
import { addDestroy } from './commands/destroy.ts';
import { addDoctor } from './commands/doctor.ts';
import { addImages } from './commands/images.ts';
import { addInspect } from './commands/inspect.ts';
import { addList } from './commands/list.ts';
import { addProvision } from './commands/provision.ts';
import { addPrune } from './commands/prune.ts';
import { addPull } from './commands/pull.ts';
import { addRecover } from './commands/recover.ts';
import { addGlobalOptions } from './settings.ts';
import { packageVersion } from './version.ts';

/** The whole command line, one file per command. What a command needs beyond commander it imports when it runs. */
export function createProgram(cli: CommandLine): Command {
  const program = new Command('rootwright')
    .summary('makes container root filesystems')
    .description(
      'Pulls images into a layer store, assembles a root filesystem for each container with the best method this machine has, takes it ' +
        'apart again, and puts everything back in order after a crash.',
    )
    .version(packageVersion(), '-V, --version')
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false, helpWidth: HELP_WIDTH })
    // Errors are thrown and reported in one place, as text or JSON.
    .configureOutput({ outputError: () => undefined })
    .hook('preAction', (_program, command) => cli.begin(command));

  addGlobalOptions(program);
  addProvision(program, cli);
  addDestroy(program, cli);
  addList(program, cli);
  addInspect(program, cli);
  addPull(program, cli);
  addImages(program, cli);
  addPrune(program, cli);
  addRecover(program, cli);
  addDoctor(program, cli);
  addCompletion(program, cli);
  return program.addHelpText('after', FIRST_STEPS);
}

const HELP_WIDTH = 100;

const FIRST_STEPS = `
First steps:
  $ rootwright doctor                                   what works on this machine
  $ skopeo copy docker://busybox oci:./busybox:latest   an image to try
  $ rootwright provision web oci:./busybox:latest       prints where the root filesystem is
  $ rootwright destroy web

Exit status: 0 success, 1 failure, 2 usage, 3 not found, 4 conflict or locked, 5 damaged data, 6 recovery needed,
7 unsupported here, 130 and 143 stopped by a signal.`;
