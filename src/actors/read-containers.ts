import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isRootwrightError } from '../errors.ts';
import { parseContainerId, type ContainerId } from '../paths/container-id.ts';
import { backendDir, containerDir, containersDir, nestedDir, readyPath, rootfsPath } from '../paths/provisioner.ts';
import type { CheckpointedRootfs } from './checkpoint.ts';
import { readCheckpoint } from './checkpoint-read.ts';

/** A container as its files tell, read without the engine's lock. */
export interface ContainerOnDisk {
  readonly id: string;
  readonly directory: string;
  readonly rootfses: ReadonlyArray<CheckpointedRootfs & { readonly rootfs: string; readonly ready: boolean }>;
  /** Why the checkpoint could not be read. */
  readonly damage?: string;
}

/**
 * Every container below `root`, parents before children, read from checkpoints and ready markers alone. It takes no lock, so it works
 * beside the engine that holds `root`: each container is as it was at some instant of the call. Nothing but node:fs is loaded.
 * Fails with the system's error where the directory can't be read; a damaged checkpoint is told in `damage`.
 */
export function readContainers(root: string): ContainerOnDisk[] {
  const containers: ContainerOnDisk[] = [];
  const level = (directory: string, prefix: string): void => {
    for (const name of directoriesIn(directory)) {
      const id = idOf(prefix + name);
      if (id === undefined || name.includes('.')) continue;
      const path = join(directory, name);
      const container = readOne(id, path);
      if (container === undefined) continue;
      containers.push(container);
      const nested = nestedDir(path);
      if (statSync(nested, { throwIfNoEntry: false })?.isDirectory() === true) level(nested, `${id}.`);
    }
  };
  level(containersDir(root), '');
  return containers;
}

/** One container, undefined where there is none. Fails with INVALID_CONTAINER_ID, and as {@link readContainers} does. */
export function readContainer(root: string, id: string): ContainerOnDisk | undefined {
  const container = parseContainerId(id);
  return readOne(container, containerDir(root, container));
}

function readOne(id: ContainerId, directory: string): ContainerOnDisk | undefined {
  try {
    const checkpoint = readCheckpoint(directory, id);
    if (checkpoint === undefined && statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined;
    return { id, directory, rootfses: (checkpoint?.rootfses ?? []).map((rootfs) => withState(directory, rootfs)) };
  } catch (error) {
    if (isRootwrightError(error)) return { id, directory, rootfses: [], damage: error.message };
    throw error;
  }
}

function withState(directory: string, rootfs: CheckpointedRootfs): ContainerOnDisk['rootfses'][number] {
  const ready = statSync(readyPath(directory, rootfs.id), { throwIfNoEntry: false }) !== undefined;
  return { ...rootfs, rootfs: rootfsPath(backendDir(directory, rootfs.backend), rootfs.id), ready };
}

function idOf(text: string): ContainerId | undefined {
  try {
    return parseContainerId(text);
  } catch {
    return undefined;
  }
}

/** Symlinks are not followed. */
function directoriesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
