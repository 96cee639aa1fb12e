#!/usr/bin/env node
import { CommanderError } from 'commander';
import { isRootwrightError } from '../errors.ts';
import { CommandLine } from './command-line.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { reportError } from './report-error.ts';

// `rootwright list | head -n 1` closes our output early: nobody is left to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.ok);
});

process.exitCode = await main(process.argv);

async function main(argv: readonly string[]): Promise<ExitCode> {
  const cli = new CommandLine(argv);
  cli.listenForSignals();
  try {
    await createProgram(cli).parseAsync(argv);
    return cli.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    // Help instead of a command has been printed already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage;
    const exitCode = reportError(error, cli.output, { showStack: cli.showStack });
    return isRootwrightError(error) && error.code === 'ABORTED' ? (cli.interruptedExitCode ?? exitCode) : exitCode;
  }
}
