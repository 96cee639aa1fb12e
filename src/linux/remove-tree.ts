import { lstatSync, rmdirSync, unlinkSync } from 'node:fs';
import { canonicalPath } from './canonical-path.ts';
import { entriesOf, ignoreAbsent, unlinkAll, type Entry } from './directory-entries.ts';
import type { Kernel, Path } from './kernel.ts';
import { openDirectories } from './open-directories.ts';
import { bytesOf, hasEscapedBytes, textOf } from './path-bytes.ts';
import { DEEP_PATH_BYTES, removeLargeTree } from './remove-large-tree.ts';
import { isSystemError, systemError } from './system-error.ts';

/**
 * Deletes what is at `path`, a directory with all that is in it or anything else; symlinks and device nodes go as themselves. True when it
 * is gone, false where nothing was there. It never deletes through a mount: EBUSY, before anything is deleted, where one lies at or below
 * `path`, also a bind mount of the same file system, which st_dev can't tell. Other errors are node:fs's; what was deleted by then is
 * gone, and it can be called again. Read-only directories of an ordinary user are made writable first. What others delete meanwhile counts as deleted.
 *
 * A small tree is asked for mounts name by name, which takes 1 µs each; for a large one the mount table is read, which takes as long as the
 * machine has mounts.
 */
export async function removeTree(kernel: Kernel, path: string): Promise<boolean> {
  const top = hasEscapedBytes(path) ? bytesOf(path) : path;
  let opened = process.geteuid?.() === 0;
  for (let attempt = 1; ; attempt += 1) {
    const isDirectory = typeOf(top);
    if (isDirectory === undefined) return attempt > 1;
    try {
      await removeOnce(kernel, path, { path: top, isDirectory });
      return true;
    } catch (error) {
      // an ordinary user in a directory of theirs that they may not write to
      if (!opened && isDirectory && isSystemError(error, 'EACCES')) {
        openDirectories(top);
        opened = true;
        continue;
      }
      // something was put into it meanwhile
      if (attempt === ATTEMPTS || !isSystemError(error, 'ENOTEMPTY')) throw error;
    }
  }
}

/** Trees up to this many entries are deleted name by name in line. */
const SMALL_TREE_ENTRIES = 128;
const ATTEMPTS = 3;

async function removeOnce(kernel: Kernel, path: string, top: Entry): Promise<void> {
  const entries = kernel.features.quickMountPoint ? survey(top) : undefined;
  if (entries === undefined) {
    const mount = (await kernel.mountTable()).atOrBelow(canonicalPath(path))[0];
    if (mount !== undefined) throw busy(path, mount.target);
    if (top.isDirectory) await removeLargeTree(top.path);
    else ignoreAbsent(() => unlinkSync(top.path));
    return;
  }
  for (const { path: entry } of entries) {
    const text = typeof entry === 'string' ? entry : textOf(entry);
    if (await kernel.isMountPoint(text)) throw busy(path, text);
  }
  await removeEntries(entries);
}

/** undefined where nothing is there. */
function typeOf(path: Path): boolean | undefined {
  try {
    return lstatSync(path).isDirectory();
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** The tree, parents first; undefined where it is large or deep. */
function survey(top: Entry): Entry[] | undefined {
  const found = [top];
  for (const entry of found) {
    if (!entry.isDirectory) continue;
    if (entry.path.length > DEEP_PATH_BYTES) return undefined;
    found.push(...entriesOf(entry.path));
    if (found.length > SMALL_TREE_ENTRIES) return undefined;
  }
  return found;
}

/** Deleting a regular file may free gigabytes, so that leaves the main thread; the rest are only names. */
async function removeEntries(entries: readonly Entry[]): Promise<void> {
  await unlinkAll(entries.filter(({ isDirectory, isFile }) => !isDirectory && isFile !== false).map(({ path }) => path));
  for (const { path, isDirectory, isFile } of entries.toReversed()) {
    if (isDirectory) ignoreAbsent(() => rmdirSync(path));
    else if (isFile === false) ignoreAbsent(() => unlinkSync(path));
  }
}

function busy(path: string, target: string): Error {
  return systemError('EBUSY', 'rm', path, `${target === path ? 'it' : target} is a mount point`);
}
