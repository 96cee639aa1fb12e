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

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && !isRootwrightError(error) && error.name === 'AbortError');
}
