import { constants, readFileSync } from 'node:fs';
import { RootwrightError } from '../errors.ts';
import { isSystemError } from '../linux/system-error.ts';
import { checkpointPath } from '../paths/provisioner.ts';
import { decodeCheckpoint, type Checkpoint } from './checkpoint.ts';

/**
 * The checkpoint of the container in `directory`, undefined where it has none. Fails with CHECKPOINT_CORRUPT, also where it is that of
 * another container than `id`, or IO_ERROR. Synchronous: a few microseconds.
 */
export function readCheckpoint(directory: string, id: string): Checkpoint | undefined {
  const path = checkpointPath(directory);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path, { flag: READ_FLAGS as unknown as string }); // Node takes numeric flags, its types do not say so
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    if (isSystemError(error, 'ELOOP', 'EISDIR'))
      throw new RootwrightError('CHECKPOINT_CORRUPT', `the checkpoint ${path} is no regular file; run recover, which sets it aside`, {
        cause: error,
        details: { path },
      });
    throw new RootwrightError('IO_ERROR', `cannot read the checkpoint ${path}: ${String(error)}`, { cause: error, details: { path } });
  }
  const checkpoint = decodeCheckpoint(bytes, path);
  if (checkpoint.container !== id)
    throw new RootwrightError(
      'CHECKPOINT_CORRUPT',
      `the checkpoint ${path} is that of ${JSON.stringify(checkpoint.container)}; run recover, which sets it aside`,
      {
        details: { path, expected: id, found: checkpoint.container },
      },
    );
  return checkpoint;
}

const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW;
