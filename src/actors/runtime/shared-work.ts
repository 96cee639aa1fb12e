import { RootwrightError } from '../../errors.ts';
import { abortController, abortedError, onAbort, throwIfAborted } from './abort.ts';

/**
 * One run of some work that many callers wait for, each with an AbortSignal of its own: a pull that several containers need. The run goes
 * on while anybody waits for it; when the last caller has left, it is aborted.
 *
 * Runs are told apart by identity, not by key: a run that was aborted and still settles is not the run that comes after it (defect R7 of
 * Mesos's docker store, where the first one's end erased the second's entry). {@link shareWork} keeps a table of them in this way.
 */
export class SharedWork<T> {
  readonly #abort = abortController();
  readonly #result: Promise<T>;
  /** Resolves, never rejects, when the run has settled. */
  readonly settled: Promise<void>;
  #callers = 0;

  /** Begins the run; its signal is aborted when every caller that had joined has left. */
  constructor(run: (signal: AbortSignal) => Promise<T>) {
    this.#result = new Promise((resolve) => resolve(run(this.#abort.signal)));
    this.settled = this.#result.then(ignore, ignore);
  }

  /** Callers that wait now. */
  get callers(): number {
    return this.#callers;
  }

  /** False once the run has been aborted: wait for `settled`, then begin another. */
  get joinable(): boolean {
    return !this.#abort.signal.aborted;
  }

  /**
   * Settles as the run does. On abort it rejects with ABORTED: at once while others still wait, but for the last caller only when the
   * aborted run has settled. A run that is not `joinable` is refused, with ABORTED too.
   */
  join(signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      throwIfAborted(WHAT, signal);
      if (!this.joinable)
        throw new RootwrightError('ABORTED', `${WHAT}: its run was aborted when nobody waited any more`, { cause: this.#abort.signal.reason });
      this.#callers += 1;
      let left = false;
      const stay = onAbort(signal, () => {
        left = true;
        this.#callers -= 1;
        const aborted = abortedError(WHAT, signal!);
        if (this.#callers > 0) return reject(aborted);
        this.#abort.abort(aborted);
        void this.settled.then(() => reject(aborted));
      });
      const answer =
        <V>(settle: (outcome: V) => void) =>
        (outcome: V): void => {
          if (left) return;
          stay();
          this.#callers -= 1;
          settle(outcome);
        };
      this.#result.then(answer(resolve), answer(reject));
    });
  }
}

/**
 * Joins the run that `table` has under `key`, or begins one. Where the last run was aborted and has not settled yet, it waits for that
 * first: two runs of one key never overlap. A run leaves the table when it has settled. Rejects as {@link SharedWork.join} does.
 */
export async function shareWork<K, T>(
  table: Map<K, SharedWork<T>>,
  key: K,
  run: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  throwIfAborted(WHAT, signal);
  let work = table.get(key);
  while (work !== undefined && !work.joinable) {
    await leftBehind(work.settled, signal);
    work = table.get(key);
  }
  if (work === undefined) {
    const begun = new SharedWork(run);
    work = begun;
    table.set(key, begun);
    const remove = (): boolean => table.get(key) === begun && table.delete(key);
    void begun.settled.then(remove);
  }
  return work.join(signal);
}

/** Waits for `settled`, or until `signal` aborts: whoever has begun nothing leaves at once. */
async function leftBehind(settled: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const stay = onAbort(signal, resolve);
    void settled.then(stay).then(resolve);
  });
  throwIfAborted(WHAT, signal);
}

const WHAT = 'shared work';

function ignore(): void {}
