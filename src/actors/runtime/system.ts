import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { Mailbox } from './mailbox.ts';
import type { MailboxKind, ProcessInfo } from './observe.ts';
import type { PID, Process } from './process.ts';

/**
 * A set of processes with ids of its own. Each is a root actor held in a Map: xstate's `spawn` inside a parent takes time in proportion to
 * the children it has.
 *
 * @example
 * const system = new ActorSystem();
 * const store = system.spawn(new StoreProcess(), { name: 'store', mailbox: 'serial' });
 * await dispatch(store, 'get', image);
 * await system.close();
 */
export class ActorSystem {
  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #counts = new Map<string, number>();
  #closing = false;
  #closed: Promise<void> | undefined;

  /**
   * Starts a process: its `initialize` has run when this returns. Throws what `initialize` throws, ACTOR_TERMINATED once the system is
   * closing, INVALID_OPTION for a process that is spawned already. The time it takes does not depend on how many there are.
   */
  spawn<P extends Process>(process: P, options: SpawnOptions = {}): PID<P> {
    if (this.#closing) throw new RootwrightError('ACTOR_TERMINATED', 'the actor system is closed: it spawns no more processes');
    const capacity = options.capacity ?? LIMITS.mailboxTurns;
    if (!(capacity >= 1)) throw new RootwrightError('INVALID_OPTION', `capacity is ${capacity}: a mailbox holds at least one turn`);
    const mailbox = new Mailbox(this.#nextId(options.name ?? process.constructor.name), process, {
      mailbox: options.mailbox ?? 'interleaved',
      capacity,
      onTerminated: (mailbox) => this.#mailboxes.delete(mailbox.id),
    });
    this.#mailboxes.set(mailbox.id, mailbox);
    return mailbox;
  }

  /** Every process that has not terminated, in the order of spawning. */
  processes(): ProcessInfo[] {
    return Array.from(this.#mailboxes.values(), (mailbox) => mailbox.info());
  }

  /**
   * Terminates every process, the last spawned first, and waits for each before it goes on to the next: what a process still has to finish
   * may need those that were there before it. Again: the same promise. Not to be awaited inside a turn.
   */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  async #closeAll(): Promise<void> {
    this.#closing = true;
    for (const mailbox of Array.from(this.#mailboxes.values()).toReversed()) {
      mailbox.terminate(true);
      await mailbox.whenTerminated();
    }
  }

  #nextId(name: string): string {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return `${name}(${count})`;
  }
}

export interface SpawnOptions {
  /** What kind of process it is, as logs shall show it: one of few, not one per container. Default: the name of the class. */
  readonly name?: string;
  /**
   * `interleaved` (default): a turn ends at the handler's first await, and other turns run meanwhile. `serial`: a turn ends when its
   * handler has settled, so that nothing else touches the state meanwhile; it must not ask itself, nor one that asks it.
   */
  readonly mailbox?: MailboxKind;
  /** Turns that may wait; more are refused with MAILBOX_FULL. Default LIMITS.mailboxTurns. */
  readonly capacity?: number;
}
