import type { ActorLogic, AnyActorRef, Snapshot } from 'xstate';
import { RootwrightError } from '../../errors.ts';
import { abortController } from './abort.ts';

/**
 * Work that must not be left half-way, as xstate actor logic: like `fromPromise`, but it hears `{ type: 'cancel' }`, which aborts the
 * signal of `run`, and it is done or failed only when `run` has really settled. A machine that must stop it sends cancel and stays in the
 * state until `onDone` or `onError`: leaving the state would go on while the work still runs (a `umount` beside the `mount` it undoes).
 *
 * Success means that `run` finished, also after a cancel that it no longer heeded; the machine decides what that is worth. A cancel
 * before it began fails with ABORTED and runs nothing. An operation restored from a snapshot is never run again: what it had done by then
 * is not known. It fails with ABORTED, `details.interrupted` true, and the machine compensates in `onError`. Where the actor is stopped
 * rather than cancelled, the signal is aborted and nobody hears the outcome.
 *
 * @example
 * provisioning: {
 *   invoke: { src: 'provision', id: 'operation', onDone: 'provisioned', onError: 'destroying' },
 *   on: { destroy: { actions: sendTo('operation', { type: 'cancel' }) } },
 * }
 */
export function fromOperation<T, I = undefined>(run: (input: I, signal: AbortSignal) => Promise<T>): OperationLogic<T, I> {
  // Inputs and controllers stay out of the snapshot, so a restored operation is one that has neither.
  const begun = new WeakMap<AnyActorRef, { readonly input: I; readonly abort: AbortController }>();
  return {
    getInitialSnapshot({ self }, input) {
      begun.set(self, { input, abort: abortController() });
      return { status: 'active', output: undefined, error: undefined };
    },
    getPersistedSnapshot: (snapshot) => snapshot,
    start(_snapshot, { self }) {
      const operation = begun.get(self);
      const settled = operation === undefined ? Promise.reject(interrupted(self.id)) : begin(run, operation.input, operation.abort.signal, self.id);
      const report = (outcome: Settled<T>): void => {
        if (self.getSnapshot().status === 'active') self.send(outcome); // nobody hears a stopped one
      };
      settled.then(
        (value) => report({ type: 'settled', ok: true, value }),
        (error: unknown) => report({ type: 'settled', ok: false, error }),
      );
    },
    transition(snapshot, event, { self }) {
      switch (event.type) {
        case 'cancel':
          begun.get(self)?.abort.abort(event.reason ?? new RootwrightError('ABORTED', `operation ${self.id}: cancelled`));
          return snapshot;
        case 'xstate.stop':
          begun.get(self)?.abort.abort(new RootwrightError('ABORTED', `operation ${self.id}: its machine was stopped`));
          return { status: 'stopped', output: undefined, error: undefined };
        case 'settled':
          begun.delete(self);
          return event.ok ? { status: 'done', output: event.value, error: undefined } : { status: 'error', output: undefined, error: event.error };
        default:
          return snapshot; // xstate hands on whatever it is sent
      }
    },
  };
}

/** What an operation hears. `reason` becomes the reason of its signal. */
export interface CancelEvent {
  readonly type: 'cancel';
  readonly reason?: unknown;
}

/** What {@link fromOperation} makes: for `setup({ actors })`, `createActor` and `invoke`. */
export type OperationLogic<T, I> = ActorLogic<Snapshot<T>, CancelEvent | Settled<T> | { readonly type: 'xstate.stop' }, I>;

type Settled<T> =
  | { readonly type: 'settled'; readonly ok: true; readonly value: T }
  | { readonly type: 'settled'; readonly ok: false; readonly error: unknown };

/** A microtask later, so that the work never begins inside a transition, and a cancel sent at once still comes first. */
function begin<T, I>(run: (input: I, signal: AbortSignal) => Promise<T>, input: I, signal: AbortSignal, id: string): Promise<T> {
  return Promise.resolve().then(() => {
    if (signal.aborted) throw new RootwrightError('ABORTED', `operation ${id}: cancelled before it began`, { cause: signal.reason });
    return run(input, signal);
  });
}

function interrupted(id: string): RootwrightError {
  return new RootwrightError('ABORTED', `operation ${id}: interrupted by a restart, and not run again`, { details: { interrupted: true } });
}
