import { isRootwrightError, RootwrightError } from '../../errors.ts';

/** A failure of the system wrapped as IO_ERROR: `what` failed, with the path where the system told one. Any other error as it is: ours, or a defect. */
export function asIoError(error: unknown, what: string): unknown {
  if (isRootwrightError(error) || !(error instanceof Error) || typeof (error as NodeJS.ErrnoException).syscall !== 'string') return error;
  const { code, path } = error as NodeJS.ErrnoException;
  return new RootwrightError('IO_ERROR', `${what}: ${error.message}`, { cause: error, details: { errno: code, path } });
}
