import type { Command } from 'commander';
import type { ExitCode } from './exit-codes.ts';
import { Interruption } from './interruption.ts';
import { Output } from './output.ts';
import { type Settings, settingsOf } from './settings.ts';

/** One run of the program: what its commands work with. */
export class CommandLine {
  /** Until the options are read, errors are shown as the bare arguments ask. */
  output: Output;
  /** The status to end with, where a command that did its work has more to say than 0. */
  exitCode: ExitCode = 0;
  readonly #interruption = new Interruption();
  #settings: Settings | undefined;

  constructor(argv: readonly string[]) {
    this.output = new Output({ json: argv.includes('--json'), quiet: false, color: 'auto' });
  }

  /** Reads the options of the command that is about to run. Fails with INVALID_OPTION. */
  begin(command: Command): void {
    this.#settings = settingsOf(command);
    this.output = new Output(this.#settings);
  }

  /** Takes the signals over from now on. */
  listenForSignals(): void {
    this.#interruption.listen((text) => this.output.note(text));
  }

  get settings(): Settings {
    if (this.#settings === undefined) throw new Error('the options are read before a command runs');
    return this.#settings;
  }

  get showStack(): boolean {
    return this.#settings?.logLevel === 'debug';
  }

  /** Aborted by the first SIGINT or SIGTERM. */
  get signal(): AbortSignal {
    return this.#interruption.signal;
  }

  /** The status that a signal asks for, undefined where none came. */
  get interruptedExitCode(): ExitCode | undefined {
    return this.#interruption.exitCode;
  }
}
