import { readdirSync, unlink, type Dirent } from 'node:fs';
import type { Path } from './kernel.ts';
import { isSystemError } from './system-error.ts';

/** One name in a directory. */
export interface Entry {
  readonly path: Path;
  readonly isDirectory: boolean;
  readonly isFile?: boolean;
}

/** What a directory holds, none where it is gone. Names are text, or bytes where one of them is no UTF-8. */
export function entriesOf(directory: Path): Entry[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    if (typeof directory === 'string' && !entries.some(({ name }) => name.includes('\ufffd')))
      return entries.map((entry) => describe(`${directory}/${entry.name}`, entry));
    const prefix = Buffer.concat([typeof directory === 'string' ? Buffer.from(directory) : directory, Buffer.from('/')]);
    // @types/node has no Dirent with a Buffer for a name
    const inBytes = readdirSync(directory, { withFileTypes: true, encoding: 'buffer' as 'utf8' }) as unknown as Array<Dirent & { name: Buffer }>;
    return inBytes.map((entry) => describe(Buffer.concat([prefix, entry.name as Buffer]), entry));
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Runs a call on a name that may be gone by now. */
export function ignoreAbsent(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
}

/** Unlinks on libuv's pool, a few at a time: in one directory they wait for each other anyway. Settles when none is under way, with the first error. */
export function unlinkAll(paths: readonly Path[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const state: { next: number; running: number; failure?: NodeJS.ErrnoException } = { next: 0, running: 0 };
    const advance = (): void => {
      while (state.failure === undefined && state.running < UNLINKS && state.next < paths.length) {
        state.running += 1;
        unlink(paths[state.next++] as Path, settle);
      }
      if (state.running > 0) return;
      if (state.failure === undefined) resolve();
      else reject(state.failure);
    };
    const settle = (error: NodeJS.ErrnoException | null): void => {
      state.running -= 1;
      if (error !== null && error.code !== 'ENOENT') state.failure ??= error;
      advance();
    };
    advance();
  });
}

const UNLINKS = 16;

function describe(path: Path, entry: Dirent): Entry {
  return { path, isDirectory: entry.isDirectory(), isFile: entry.isFile() };
}
