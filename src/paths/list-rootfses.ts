import { readdirSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { backendDir, backendsDir, rootfsesDir } from './provisioner.ts';

export interface RootfsListing {
  /** Rootfs ids by backend name, known to this build or not; a backend without any is left out. */
  readonly rootfses: ReadonlyMap<string, readonly string[]>;
  /** Absolute paths of what is no directory where the layout wants one. */
  readonly strays: readonly string[];
}

/**
 * The rootfs directories of one container. A missing `backends` or `rootfses` directory means none (MESOS-7471), whatever is no directory
 * is reported as a stray, no symlink is followed. Fails with the system's own error where a directory can't be read. Synchronous.
 * (Mesos: provisioner::paths::listContainerRootfses.)
 */
export function listRootfses(containerDirectory: string): RootfsListing {
  const rootfses = new Map<string, readonly string[]>();
  const strays: string[] = [];
  const directoriesIn = (directory: string): string[] => {
    const names: string[] = [];
    for (const entry of readDirectory(directory)) {
      if (entry.isDirectory()) names.push(entry.name);
      else strays.push(join(directory, entry.name));
    }
    return names;
  };
  const backends = backendsDir(containerDirectory);
  for (const backend of directoriesIn(backends)) {
    const ids = directoriesIn(rootfsesDir(backendDir(containerDirectory, backend)));
    if (ids.length > 0) rootfses.set(backend, ids);
  }
  return { rootfses, strays };
}

/** The entries of a directory; none where there is no such directory. */
function readDirectory(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
