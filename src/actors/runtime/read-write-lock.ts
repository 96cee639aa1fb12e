import { RWLock, State } from 'async-rwlock';
import { abortedError, onAbort, throwIfAborted } from './abort.ts';
import { Fifo } from './fifo.ts';

/**
 * A lock for many readers or one writer, first come first served: a reader that comes behind a waiting writer waits too, and when a
 * writer leaves, the whole leading run of readers enters together. The lock is released when the body has settled, so nobody can release
 * it twice, or forget to. An abort while waiting leaves at once, and those behind are served as if the waiter had never come.
 * libprocess's `ReadWriteLock`.
 *
 * **No recursive read.** `lock.read(() => lock.read(…))` hangs for ever once a writer waits in between: the inner reader waits for the
 * writer, the writer for the outer reader. Take the lock once, at the public entry, and recurse below it (Mesos's `destroy` takes it
 * again for each nested container, and so hangs with a queued prune).
 *
 * It holds the lock of async-rwlock 1.1.1 and asks it only for what it grants at once, since that package
 *  - grants the lock to a waiter whose timeout has expired, so that nobody ever releases it, and has no other way to leave the queue;
 *  - takes a timeout of 0 for none;
 *  - lets readers in while a writer waits: overlapping readers keep it out for ever;
 *  - lets anyone unlock what another has locked: unlocking twice lets a writer in beside a reader;
 *  - chooses by chance between readers and writers when a writer leaves;
 *  - knows no AbortSignal, and no scope.
 */
export class ReadWriteLock {
  readonly #lock = new RWLock();
  readonly #queue = new Fifo<Waiter>();

  /** Runs `body` while no writer holds the lock. Rejects as `body` does; ABORTED, without running it, where `signal` aborts while it waits. */
  read<T>(body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#within('read', body, signal);
  }

  /** Runs `body` while nobody else holds the lock. Rejects as {@link read} does. */
  write<T>(body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#within('write', body, signal);
  }

  /** True while nobody holds the lock or waits for it. */
  get idle(): boolean {
    return this.#lock.getState() === State.Idle && this.#queue.size === 0;
  }

  async #within<T>(mode: Mode, body: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    throwIfAborted(`${mode} lock`, signal);
    await this.#acquire(mode, signal);
    try {
      throwIfAborted(`${mode} lock`, signal); // aborted between the grant and this line
      return await body();
    } finally {
      this.#lock.unlock();
      this.#admit();
    }
  }

  #acquire(mode: Mode, signal: AbortSignal | undefined): Promise<void> | undefined {
    if (this.#queue.size === 0 && this.#grants(mode)) {
      this.#grant(mode);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const place = this.#queue.push({
        mode,
        enter() {
          stay();
          resolve();
        },
      });
      const stay = onAbort(signal, () => {
        this.#queue.remove(place);
        reject(abortedError(`${mode} lock`, signal!));
        this.#admit(); // a writer that held readers back may have been first
      });
    });
  }

  /** Lets in whoever is first, and everyone behind who can enter with it. */
  #admit(): void {
    for (let next = this.#queue.peek(); next !== undefined && this.#grants(next.mode); next = this.#queue.peek()) {
      this.#queue.shift();
      this.#grant(next.mode);
      next.enter();
    }
  }

  #grants(mode: Mode): boolean {
    const state = this.#lock.getState();
    return state === State.Idle || (mode === 'read' && state === State.Reading);
  }

  /** The state changes before this returns, and the promise is resolved: the wrapped lock never has anybody waiting. */
  #grant(mode: Mode): void {
    void (mode === 'read' ? this.#lock.readLock() : this.#lock.writeLock());
  }
}

type Mode = 'read' | 'write';

interface Waiter {
  readonly mode: Mode;
  enter(): void;
}
