import { rmdirSync, unlinkSync } from 'node:fs';
import type { Kernel } from '../linux/kernel.ts';
import { removeTree } from '../linux/remove-tree.ts';
import { isSystemError } from '../linux/system-error.ts';
import { backendDir, backendsDir, checkpointPath, nestedDir, rootfsesDir, scratchesDir } from '../paths/provisioner.ts';
import type { Container } from './container-record.ts';

/**
 * Removes the directory of a container whose rootfses and nested containers are gone. In the ordinary case each thing goes by its own name
 * and nothing is listed; what else lies there goes too, but never through a mount: EBUSY where one is left at or below it. Fails as
 * node:fs does, and can be tried again.
 */
export async function removeContainerDirectory(kernel: Kernel, container: Container): Promise<void> {
  if (container.checkpointed) removeFile(checkpointPath(container.directory));
  if (removeEmptyContainer(container)) return;
  await removeTree(kernel, container.directory);
  container.onDisk = false;
}

/** Removes the directories that the engine makes for a container, as far as they are empty. False where something is left. */
export function removeEmptyContainer(container: Container): boolean {
  removeBackendDirectories(container);
  if (removeEmptyDirectory(container.directory)) container.onDisk = false;
  else {
    removeEmptyDirectory(nestedDir(container.directory));
    container.onDisk = !removeEmptyDirectory(container.directory);
  }
  return !container.onDisk;
}

/** Removes what backends leave around their rootfses, as far as it is empty. */
export function removeBackendDirectories(container: Container): void {
  if (container.usedBackends.length === 0) return;
  for (const backend of container.usedBackends) {
    const directory = backendDir(container.directory, backend);
    removeEmptyDirectory(rootfsesDir(directory));
    removeEmptyDirectory(scratchesDir(directory));
    removeEmptyDirectory(directory);
  }
  removeEmptyDirectory(backendsDir(container.directory));
}

/** Unlinks a file; one that is missing is fine. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
}

/** True where no such directory is left. */
function removeEmptyDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return true;
    if (isSystemError(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR')) return false;
    throw error;
  }
}
