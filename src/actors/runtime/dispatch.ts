import { currentTurn } from './ask-cycle.ts';
import { mailboxOf } from './mailbox.ts';
import type { Method, MethodArguments, MethodName, MethodResult, PID, Process } from './process.ts';

/**
 * Queues `method(...args)` as a turn of `pid` and answers with its result. It returns before the turn starts, whoever calls.
 *
 * Rejects with what the handler throws, and without running it: ACTOR_TERMINATED (terminated before the turn started), MAILBOX_FULL,
 * ACTOR_CYCLE (from a serial turn: the answer would wait for that turn itself; the message names the cycle). An answer that nobody looks
 * at never becomes an unhandled rejection. Not cancellable by itself: give the method an AbortSignal. libprocess's `dispatch`.
 */
export function dispatch<P extends Process, K extends MethodName<P>>(
  pid: PID<P>,
  method: K,
  ...args: MethodArguments<P, K>
): Promise<MethodResult<P, K>> {
  return mailboxOf(pid).ask(method, call(method, args), currentTurn()) as Promise<MethodResult<P, K>>;
}

/**
 * As {@link dispatch}, for the effect alone: nobody waits for the answer, so a serial process may tell itself, or one that asks it, what
 * to do after this turn. Throws ACTOR_TERMINATED or MAILBOX_FULL where the turn can't be queued; a handler that fails is seen on the
 * `rootwright:turn` channel only.
 */
export function tell<P extends Process, K extends MethodName<P>>(pid: PID<P>, method: K, ...args: MethodArguments<P, K>): void {
  const mailbox = mailboxOf(pid);
  const refusal = mailbox.refusal(method, undefined);
  if (refusal !== undefined) throw refusal;
  void mailbox.ask(method, call(method, args), undefined);
}

/**
 * A callable whose body runs as a turn of `pid`: `child.exited.then(defer(self, () => this.#onExit()))`. The promise it answers with is
 * that of {@link dispatch}. A continuation always costs a turn, and other turns may run before it. libprocess's `defer`.
 */
export function defer<A extends unknown[], R>(pid: PID, fn: (...args: A) => R): (...args: A) => Promise<Awaited<R>> {
  return (...args) => mailboxOf(pid).ask(fn.name === '' ? 'deferred' : fn.name, () => fn(...args), currentTurn()) as Promise<Awaited<R>>;
}

/**
 * Ends a process. `inject` (the default) jumps the queue: what is queued is rejected with ACTOR_TERMINATED. Without it what is queued
 * runs first, and only what comes later is rejected. Either way the signal of the process is then aborted, handlers that have begun go
 * on until they settle and answer as ever, and `finalize` runs last. Again, or on a dead process: nothing. libprocess's `terminate`.
 */
export function terminate(pid: PID, options: { readonly inject?: boolean } = {}): void {
  mailboxOf(pid).terminate(options.inject ?? true);
}

/**
 * Resolves when the process has terminated, every handler that had begun has settled, and `finalize` has run. It does not terminate.
 * Rejects with ACTOR_CYCLE from a serial turn of that process, or one that it waits for; an interleaved handler that waits for its own
 * process waits for ever. libprocess's `wait`.
 */
export function wait(pid: PID): Promise<void> {
  return mailboxOf(pid).wait();
}

function call(method: PropertyKey, args: readonly unknown[]): (process: Process) => unknown {
  return (process) => (process as unknown as Record<PropertyKey, Method>)[method]!.apply(process, args as never[]);
}
