import { constants } from 'node:os';
import { isSystemError, systemError } from './system-error.ts';

export interface RunOptions {
  /** What the program reads from its standard input; nothing by default. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Added to PATH and LC_ALL=C, which is all a program sees of the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Open files that the program gets as descriptors 3, 4, … */
  readonly fds?: readonly number[];
}

export interface RunResult {
  readonly stdout: Buffer;
  readonly stderr: string;
  /** As a shell has it: 128 and the signal's number where a signal ended the program. */
  readonly exitCode: number;
}

/**
 * Runs a program to its end, in a process group of its own. A failure of the program is an exit code, not an error. Fails with a SystemError
 * of `spawn` where it can't be started (ENOENT, EACCES, ENOTDIR). On abort the whole group is told to stop, killed {@link KILL_AFTER_MS} later,
 * and this settles when it has gone, with an AbortError (code 'ABORT_ERR', cause: the signal's reason).
 */
export async function run(file: string, args: readonly string[], options: RunOptions = {}, signal?: AbortSignal): Promise<RunResult> {
  const { execa } = await import('execa');
  throwIfAborted(file, signal);
  const child = execa(file, args, {
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(options.fds ?? []).map(asExtraFd)],
    env: { PATH: process.env['PATH'] ?? DEFAULT_PATH, LC_ALL: 'C', ...options.env },
    extendEnv: false,
    encoding: 'buffer',
    reject: false,
    stripFinalNewline: false,
    maxBuffer: OUTPUT_BYTES,
    detached: true,
  });
  const stop = stopGroupOnAbort(child.pid, signal);
  try {
    const result = await child;
    throwIfAborted(file, signal);
    if (result.exitCode === undefined && result.signal === undefined) throw notStarted(file, result.cause);
    return {
      stdout: Buffer.from(result.stdout),
      stderr: Buffer.from(result.stderr).toString('utf8'),
      exitCode: result.exitCode ?? 128 + (result.signal === undefined ? 0 : constants.signals[result.signal]),
    };
  } finally {
    stop();
  }
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const OUTPUT_BYTES = 64 * 1024 * 1024;
const KILL_AFTER_MS = 2000;

/** execa's types know the descriptors 3 to 9 only; it hands any number to spawn. */
function asExtraFd(fd: number): 3 {
  return fd as 3;
}

/** Gives the function that ends the watch. */
function stopGroupOnAbort(pid: number | undefined, signal: AbortSignal | undefined): () => void {
  if (pid === undefined || signal === undefined) return () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    killGroup(pid, 'SIGTERM');
    timer = setTimeout(() => killGroup(pid, 'SIGKILL'), KILL_AFTER_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  return () => {
    signal.removeEventListener('abort', stop);
    clearTimeout(timer);
  };
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // gone by itself
    if (!isSystemError(error, 'ESRCH')) throw error;
  }
}

function throwIfAborted(file: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw Object.assign(new Error(`${file} was stopped`, { cause: signal.reason }), { name: 'AbortError', code: 'ABORT_ERR' });
}

function notStarted(file: string, cause: unknown): Error {
  const code = isSystemError(cause) ? cause.errno : 'EIO';
  return systemError(code, 'spawn', file, isSystemError(cause) ? '' : String(cause));
}
