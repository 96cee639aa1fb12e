import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../linux/system-error.ts';
import { backendDir, CONTAINERS, overlayUpperDir, overlayWorkDir, provisionerDir } from '../paths/provisioner.ts';

/**
 * The ephemeral volumes of every rootfs of every container under `root`, nested containers too, sorted: what a disk quota has to label again
 * after a restart. Found on disk, without the engine. Mesos' listEphemeralVolumes means to be this; its pattern misses a comma, so that it
 * gives the scratch directories themselves, and it knows no nested containers. Fails with a system error where a directory can't be read.
 */
export async function listEphemeralVolumes(root: string): Promise<string[]> {
  const volumes: string[] = [];
  await visit(provisionerDir(root), volumes);
  return volumes.toSorted();
}

async function visit(directory: string, volumes: string[]): Promise<void> {
  for (const container of await directoriesIn(join(directory, CONTAINERS))) {
    for (const [backend, volumesOf] of VOLUMES) {
      for (const scratch of await directoriesIn(join(backendDir(container, backend), 'scratch'))) {
        const present = new Set(await directoriesIn(scratch));
        volumes.push(...volumesOf(scratch).filter((volume) => present.has(volume)));
      }
    }
    await visit(container, volumes);
  }
}

const VOLUMES: ReadonlyArray<readonly [backend: string, volumesOf: (scratch: string) => string[]]> = [
  ['overlay', (scratch) => [overlayUpperDir(scratch), overlayWorkDir(scratch)]],
  ['aufs', (scratch) => [overlayWorkDir(scratch)]],
];

/** None where the directory is missing; symlinks and files are not containers of anything. */
async function directoriesIn(path: string): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
}
