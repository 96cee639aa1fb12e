import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { abortController, abortedError, onAbort, throwIfAborted } from './abort.ts';
import { Fifo } from './fifo.ts';

/**
 * Runs callbacks one after the other: the next begins when the previous one has settled, whatever its outcome. libprocess's `Sequence`.
 *
 * @example
 * const pulls = new Sequence();
 * const first = pulls.add((signal) => pull('a', signal));
 * const second = pulls.add((signal) => pull('b', signal), signal);   // aborted while it waits, it alone is skipped
 */
export class Sequence {
  readonly #queue = new Fifo<Entry>();
  #closed = false;
  #running: Promise<void> | undefined;

  /**
   * Settles as `body` does. Aborted before the body begins: rejects with ABORTED at once, and the body never runs; afterwards the signal
   * is the body's affair. ACTOR_TERMINATED where the sequence closes first, MAILBOX_FULL where LIMITS.mailboxTurns entries wait.
   */
  add<T>(body: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      throwIfAborted('entry of a sequence', signal);
      if (this.#closed) throw closedError();
      if (this.#queue.size >= LIMITS.mailboxTurns) {
        throw new RootwrightError('MAILBOX_FULL', `a sequence holds ${LIMITS.mailboxTurns} waiting entries; wait for some before adding more`);
      }
      const place = this.#queue.push({
        async run() {
          stay();
          const running = (async () => body(signal ?? abortController().signal))(); // async: a body that throws at once fails like any other
          await running.then(resolve, reject);
        },
        discard(error) {
          stay();
          reject(error);
        },
      });
      const stay = onAbort(signal, () => {
        this.#queue.remove(place);
        reject(abortedError('entry of a sequence', signal!));
      });
      this.#running ??= this.#runAll();
    });
  }

  /** Discards every entry that has not begun, with ACTOR_TERMINATED, and resolves when the one under way has settled. It aborts nothing. */
  async close(): Promise<void> {
    this.#closed = true;
    const error = closedError();
    for (const entry of this.#queue.drain()) entry.discard(error);
    await this.#running;
  }

  async #runAll(): Promise<void> {
    await NEXT_MICROTASK; // a body never begins on the stack of the one who adds it
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) await entry.run();
    this.#running = undefined;
  }
}

interface Entry {
  /** Never rejects: the one who added the entry hears of a failure. */
  run(): Promise<void>;
  discard(error: RootwrightError): void;
}

const NEXT_MICROTASK = Promise.resolve();

function closedError(): RootwrightError {
  return new RootwrightError('ACTOR_TERMINATED', 'the sequence is closed');
}
