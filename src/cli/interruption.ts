import { EXIT, type ExitCode } from './exit-codes.ts';

/**
 * What SIGINT and SIGTERM do to a command. The first one aborts `signal`: the command stops its work, cleans up, and ends by itself. A
 * second one ends the process at once; `rootwright recover` then puts things in order.
 */
export class Interruption {
  /** The status to end with once a signal has come, undefined before. */
  exitCode: ExitCode | undefined;
  readonly #controller = new AbortController();

  /** Takes the two signals over from now on. */
  listen(note: (text: string) => void): void {
    const listen = (name: 'SIGINT' | 'SIGTERM', exitCode: ExitCode): void => {
      process.on(name, () => {
        if (this.exitCode !== undefined) process.exit(exitCode);
        this.exitCode = exitCode;
        note(name === 'SIGINT' ? 'stopping (once more to stop at once)' : 'stopping');
        this.#controller.abort(new Error(`the command was stopped by ${name}`));
      });
    };
    listen('SIGINT', EXIT.interrupted);
    listen('SIGTERM', EXIT.terminated);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }
}
