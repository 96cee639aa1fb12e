import { closeSync, constants, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { RootwrightError } from '../errors.ts';
import { writeDurably } from '../linux/durable.ts';
import { isSystemError } from '../linux/system-error.ts';
import { checkpointPath, containersDir, temporaryPath } from '../paths/provisioner.ts';
import { encodeCheckpoint, type Checkpoint } from './checkpoint.ts';
import type { GroupedSync } from './grouped-sync.ts';

/**
 * Writes the first checkpoint of a container, and makes its directory. When this settles, the file and every directory entry on the way
 * from `containers/` down to it are durable on any POSIX file system.
 *
 * The file takes its name before it is flushed, so that all flushes run at once and share one journal commit: with no older checkpoint to
 * lose and nothing mounted yet, a file torn by a power cut means the same to recovery as none. One commit instead of three in a row:
 * 0.34 ms against 0.59 ms on ext4. Fails with CHECKPOINT_FAILED.
 */
export async function writeFirstCheckpoint(root: string, directory: string, checkpoint: Checkpoint, syncs: GroupedSync): Promise<void> {
  const path = checkpointPath(directory);
  const temporary = temporaryPath(path, randomBytes(9).toString('base64url'));
  try {
    makeContainerDirectory(directory);
    const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
    try {
      try {
        writeSync(file, encodeCheckpoint(checkpoint));
        renameSync(temporary, path);
      } catch (error) {
        unlinkIfThere(temporary);
        throw error;
      }
      await syncs.flush(file, chain(root, directory));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw checkpointFailed(path, error);
  }
}

/** Replaces the checkpoint of a container, the old or the new one being there after any crash. Fails with CHECKPOINT_FAILED. */
export async function rewriteCheckpoint(directory: string, checkpoint: Checkpoint): Promise<void> {
  const path = checkpointPath(directory);
  try {
    await writeDurably(path, encodeCheckpoint(checkpoint));
  } catch (error) {
    throw checkpointFailed(path, error);
  }
}

function makeContainerDirectory(directory: string): void {
  try {
    mkdirSync(directory, 0o755);
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) return; // its nested containers were there first
    if (!isSystemError(error, 'ENOENT')) throw error;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  }
}

/** The directories whose entries lead from `containers/` to `directory`, itself included. */
function chain(root: string, directory: string): string[] {
  const top = containersDir(root);
  const names = [directory];
  for (let name = directory; name !== top && name.length > top.length; ) {
    name = dirname(name);
    names.push(name);
  }
  return names;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
}

function checkpointFailed(path: string, cause: unknown): RootwrightError {
  return new RootwrightError('CHECKPOINT_FAILED', `cannot write the checkpoint ${path}: ${String(cause)}; nothing was mounted`, {
    cause,
    details: { path },
  });
}
