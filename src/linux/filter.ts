import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';

/** What a filter that failed said. */
export class FilterError extends Error {
  readonly exitCode: number | undefined;

  constructor(file: string, exitCode: number | undefined, stderr: string) {
    super(`${file} ${exitCode === undefined ? 'was killed' : `ended with code ${exitCode}`}: ${stderr.trim().slice(0, STDERR_BYTES)}`);
    this.exitCode = exitCode;
  }
}

/**
 * Runs a program whose output is made from its input as it comes, `zstd -dc`. Gives undefined where there is no such program; `input` is
 * not touched then. The iteration fails with what `input` fails with, and with a {@link FilterError} where the program does; leaving it
 * early kills the program, and settles when it has gone.
 */
export async function openFilter(file: string, args: readonly string[], input: AsyncIterable<Buffer>): Promise<AsyncGenerator<Buffer> | undefined> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
  // It is there before anything can be missed: 'close' comes after the streams have ended.
  const closed = new Promise<number | undefined>((resolve) => child.once('close', (code) => resolve(code ?? undefined)));
  try {
    await once(child, 'spawn');
  } catch {
    return undefined;
  }
  return iterate(file, child, closed, input);
}

const STDERR_BYTES = 1000;

async function* iterate(
  file: string,
  child: ReturnType<typeof spawn>,
  closed: Promise<number | undefined>,
  input: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new TypeError('a filter without pipes');
  let said = '';
  stderr.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < STDERR_BYTES) said += text;
  });
  let inputError: unknown;
  const watched = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* input;
    } catch (error) {
      inputError = error;
      throw error;
    }
  };
  // A program that has failed stops reading; its exit code tells why.
  const feeding = pipeline(watched(), stdin).catch(() => undefined);
  try {
    for await (const chunk of stdout as AsyncIterable<Buffer>) yield chunk;
    await feeding;
    const exitCode = await closed;
    if (inputError !== undefined) throw inputError;
    if (exitCode !== 0) throw new FilterError(file, exitCode, said);
  } finally {
    child.kill('SIGKILL');
    stdin.destroy();
    await Promise.all([closed, feeding]);
  }
}
