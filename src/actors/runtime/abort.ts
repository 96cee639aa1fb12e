import { setMaxListeners } from 'node:events';
import { RootwrightError, isRootwrightError } from '../../errors.ts';

/**
 * Runs `body` and settles as it does, except that a failure which is the abort itself becomes RootwrightError ABORTED (cause: the reason
 * of the signal). `what` names the work: `pull of oci:/images/app`. Aborted before it began, the body never runs.
 *
 * Only the abort is translated: `signal.reason` thrown on, or an AbortError as Node's own calls throw. A clean-up that failed after the
 * abort keeps its own error, and a body that finished in spite of it its result.
 */
export async function withAbort<T>(what: string, body: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  throwIfAborted(what, signal);
  try {
    return await body();
  } catch (error) {
    if (signal?.aborted === true && isAbort(error, signal)) throw abortedError(what, signal);
    throw error;
  }
}

/** Throws {@link abortedError} where `signal` is aborted. */
export function throwIfAborted(what: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(what, signal);
}

/** ABORTED with the reason of `signal` as its cause. A reason that is an ABORTED error already is passed on as it is. */
export function abortedError(what: string, signal: AbortSignal): RootwrightError {
  const reason: unknown = signal.reason;
  if (isRootwrightError(reason) && reason.code === 'ABORTED') return reason;
  return new RootwrightError('ABORTED', `${what}: aborted${reason instanceof Error ? ` (${reason.message})` : ''}`, { cause: reason });
}

/**
 * Calls `listener` once when `signal` aborts, unless the answer is called first: that takes the listener back, at any time. Any number
 * may listen to one signal at O(1) each; listeners added to it directly are searched on every addition, and warned of from the eleventh on.
 * A signal that has aborted already is not heard: look first.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return nothing;
  const audience = audiences.get(signal) ?? openAudience(signal);
  const member = { listener };
  audience.members.add(member);
  return () => {
    if (audience.members.delete(member) && audience.members.size === 0) audience.close();
  };
}

/** An AbortController whose signal any number may listen to, directly too. */
export function abortController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

interface Audience {
  readonly members: Set<{ readonly listener: () => void }>;
  close(): void;
}

const audiences = new WeakMap<AbortSignal, Audience>();

function openAudience(signal: AbortSignal): Audience {
  const members: Audience['members'] = new Set();
  const tell = (): void => {
    audiences.delete(signal);
    for (const member of members) member.listener(); // one that is taken back meanwhile is not told
  };
  const audience = {
    members,
    close(): void {
      audiences.delete(signal);
      signal.removeEventListener('abort', tell);
    },
  };
  audiences.set(signal, audience);
  signal.addEventListener('abort', tell, { once: true });
  return audience;
}

function nothing(): void {}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && !isRootwrightError(error) && error.name === 'AbortError');
}
