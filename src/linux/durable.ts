import { closeSync, constants, fsync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/**
 * Writes a file that is complete or absent after any crash: the data goes into `.<name>.<unique>.tmp` beside `path` (paths/provisioner.ts
 * knows such a name again), is flushed, takes its name by one rename, and the directory is flushed. When this has settled with success,
 * `path` holds `data` and will after power loss. On failure (node:fs errors) `path` is as it was, unless the last flush failed, and the
 * temporary file is gone. Like `state::checkpoint` of Mesos, with the flushes that it leaves out.
 *
 * Eight system calls. Only the two flushes leave the main thread: each of the others takes less time than the way there and back.
 */
export async function writeDurably(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(9).toString('base64url')}.tmp`);
  const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    try {
      writeAll(file, typeof data === 'string' ? Buffer.from(data, 'utf8') : data);
      await flush(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    unlinkQuietly(temporary);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Flushes the names in a directory: what was created, renamed or removed in it before is durable afterwards. Fails as node:fs does. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await flush(directory);
  } finally {
    closeSync(directory);
  }
}

const flush = promisify(fsync);

function writeAll(file: number, data: Uint8Array): void {
  for (let offset = 0; offset < data.byteLength; ) offset += writeSync(file, data, offset);
}

/** The first error is the one to tell; a leftover is recognised by its name and swept by recovery. */
function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // nothing to do: see above
  }
}
