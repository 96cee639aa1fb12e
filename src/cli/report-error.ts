import { inspect } from 'node:util';
import { CommanderError } from 'commander';
import { type ErrorCode, RootwrightError, isRootwrightError } from '../errors.ts';
import { EXIT, EXIT_CODE_OF, type ExitCode } from './exit-codes.ts';
import { HINTS } from './hints.ts';
import type { Output } from './output.ts';
import { printable } from './text.ts';

/** Says what went wrong, for people or as JSON, and answers with the status to end with. */
export function reportError(error: unknown, output: Output, options: { showStack: boolean }): ExitCode {
  const { code, message, details, exitCode } = describe(error);
  const hint = isErrorCode(code) ? HINTS[code] : undefined;
  if (output.json) output.result({ error: { code, message, ...(hint === undefined ? {} : { hint }), ...details } }, () => '');
  else {
    const style = output.noteStyle;
    output.error(`${style(['bold', 'red'], 'error:')} ${printable(message)} ${style('dim', `[${code}]`)}`);
    for (const cause of causesOf(error)) output.error(`${style('dim', 'because:')} ${printable(cause)}`);
    if (hint !== undefined) output.error(`${style('cyan', 'hint:')} ${hint}`);
  }
  if (options.showStack) output.error(inspect(error, { depth: 8 }));
  return exitCode;
}

interface Description {
  readonly code: ErrorCode | 'UNEXPECTED';
  readonly message: string;
  readonly details?: { readonly details: unknown };
  readonly exitCode: ExitCode;
}

function describe(error: unknown): Description {
  if (isRootwrightError(error)) {
    const details = Object.keys(error.details).length > 0 ? { details: { details: error.details } } : {};
    return { code: error.code, message: error.message, ...details, exitCode: EXIT_CODE_OF[error.code] };
  }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '').replace(/\n\(/, ' (');
    return { code: 'INVALID_OPTION', message, exitCode: EXIT.usage };
  }
  const message = error instanceof Error ? error.message : String(error);
  // A call of node:fs that failed outside the engine, such as reading --known-file.
  if (error instanceof Error && 'syscall' in error) return { code: 'IO_ERROR', message, exitCode: EXIT.failure };
  return { code: 'UNEXPECTED', message: `unexpected: ${message}`, exitCode: EXIT.failure };
}

function isErrorCode(code: ErrorCode | 'UNEXPECTED'): code is ErrorCode {
  return code !== 'UNEXPECTED';
}

/** What the causes say beyond the message, outermost first. */
function causesOf(error: unknown): string[] {
  const said: string[] = [];
  let told = error instanceof Error ? error.message : '';
  for (let cause = error instanceof Error ? error.cause : undefined; cause instanceof Error; cause = cause.cause) {
    if (told.includes(cause.message)) continue;
    said.push(cause.message);
    told += cause.message;
  }
  return said;
}

/** A wrong use of the command line that commander can't see. */
export function usageError(message: string): RootwrightError {
  return new RootwrightError('INVALID_OPTION', message);
}
