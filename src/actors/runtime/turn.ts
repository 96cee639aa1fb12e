import type { Ask, AskedMailbox, TurnUnderWay } from './ask-cycle.ts';
import { turnChannel, type TurnEvent } from './observe.ts';
import type { Process } from './process.ts';

/** A turn of a process, as it waits, runs and is answered. It is the event that the actor hears. */
export class Turn implements Ask {
  readonly type = 'turn';
  readonly mailbox: AskedMailbox;
  readonly method: string;
  readonly run: (process: Process) => unknown;
  readonly asker: TurnUnderWay | undefined;
  readonly queuedAt = performance.now();
  startedAt = 0;
  endedAt = 0;
  underWay: TurnUnderWay | undefined;
  readonly #holder: TurnUnderWay | undefined;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    mailbox: AskedMailbox,
    method: string,
    run: (process: Process) => unknown,
    resolve: (value: unknown) => void,
    reject: (reason: unknown) => void,
    asker: TurnUnderWay | undefined,
  ) {
    this.mailbox = mailbox;
    this.method = method;
    this.run = run;
    this.asker = asker;
    this.#resolve = resolve;
    this.#reject = reject;
    if (mailbox.serial) {
      this.#holder = asker?.holder;
      this.#holder?.asks.add(this);
    }
  }

  resolve(value: unknown): void {
    this.#holder?.asks.delete(this);
    this.#resolve(value);
  }

  reject(reason: unknown): void {
    this.#holder?.asks.delete(this);
    this.#reject(reason);
  }

  /** Tells the watchers how it went; call it once the answer is known. */
  publish(failed: boolean, value: unknown): void {
    turnChannel.publish({
      id: this.mailbox.id,
      method: this.method,
      queuedMs: this.startedAt - this.queuedAt,
      ranMs: this.endedAt - this.startedAt,
      answeredMs: performance.now() - this.startedAt,
      ...(failed ? { error: value } : {}),
    } satisfies TurnEvent);
  }
}
