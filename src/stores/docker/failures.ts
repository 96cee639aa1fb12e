import { RootwrightError, isRootwrightError } from '../../errors.ts';

/** Throws ABORTED, with the signal's reason as cause, where `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal);
}

/** What an operation fails with once it has stopped because of `signal`. */
export function abortedError(signal: AbortSignal): RootwrightError {
  return new RootwrightError('ABORTED', 'the operation was cancelled', { cause: signal.reason });
}

/** `error` as it is where it is ours, else wrapped as IO_ERROR: `what` failed, with the path where the system told one. */
export function asIoError(error: unknown, what: string): RootwrightError {
  if (isRootwrightError(error)) return error;
  const { code, path } = error as NodeJS.ErrnoException;
  const reason = error instanceof Error ? error.message : String(error);
  return new RootwrightError('IO_ERROR', `${what}: ${reason}`, { cause: error, details: { errno: code, path } });
}
