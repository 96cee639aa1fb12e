import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** A failed system call in Node's own shape, so that errors of node:fs and of this directory are handled alike. */
export interface SystemError extends NodeJS.ErrnoException {
  /** The name, 'EBUSY'; 'E<number>' where the number has no name. */
  code: string;
  /** The number, negative as Node has it. */
  errno: number;
  syscall: string;
}

/**
 * Makes a {@link SystemError}. `errno` is a number of either sign or a name; `detail` is what the kernel or a program said about it and
 * ends the message: `EBUSY: resource busy or locked, umount2 '/rootfs': …`.
 */
export function systemError(errno: number | string, syscall: string, path?: string, detail?: string): SystemError {
  const number = typeof errno === 'number' ? Math.abs(errno) : numberOf(errno);
  const { code, text } = typeof errno === 'number' ? describe(number) : { code: errno, text: describe(number).text };
  const where = path === undefined ? '' : ` '${path}'`;
  const why = detail === undefined || detail === '' ? '' : `: ${detail}`;
  const error = new Error(`${code}: ${text}, ${syscall}${where}${why}`);
  return Object.assign(error, { code, errno: -number, syscall, ...(path === undefined ? {} : { path }) });
}

/** True for an error of a system call, from here or from node:fs; with `codes`, only where it has one of them. */
export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string' || typeof syscall !== 'string') return false;
  return codes.length === 0 || codes.includes(code);
}

/** Numbers that neither node:os nor libuv names, and that mount calls give. The same on every architecture that Node runs on. */
const EXTRA: ReadonlyMap<string, readonly [number: number, text: string]> = new Map([
  ['ENOTBLK', [15, 'block device required']],
  ['EUCLEAN', [117, 'structure needs cleaning']],
  ['EREMOTEIO', [121, 'remote I/O error']],
  ['ENOMEDIUM', [123, 'no medium found']],
  ['EMEDIUMTYPE', [124, 'wrong medium type']],
  ['ENOKEY', [126, 'required key not available']],
  ['EKEYREJECTED', [129, 'key was rejected by service']],
]);

const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...Object.entries(constants.errno),
  ...[...EXTRA].map(([code, [number]]): [string, number] => [code, number]),
]);

function numberOf(code: string): number {
  return NUMBERS.get(code) ?? constants.errno.EIO;
}

function describe(number: number): { code: string; text: string } {
  const known = getSystemErrorMap().get(-number);
  if (known !== undefined) return { code: known[0], text: known[1] };
  for (const [code, [extra, text]] of EXTRA) if (extra === number) return { code, text };
  for (const [code, value] of NUMBERS) if (value === number) return { code, text: 'system call failed' };
  return { code: `E${number}`, text: 'system call failed' };
}
