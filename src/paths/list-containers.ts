import { readdirSync, type Dirent } from 'node:fs';
import { join } from 'node:path';
import { isRootwrightError } from '../errors.ts';
import { childOf, parseContainerId, type ContainerId } from './container-id.ts';
import { BACKENDS, CHECKPOINT, CONTAINERS, READY_SUFFIX, containersDir, isTemporary, nestedDir } from './provisioner.ts';

/** What one container directory holds, by one reading of it. */
export interface ScannedContainer {
  readonly id: ContainerId;
  readonly directory: string;
  /** Whether it has a checkpoint (a regular file; not looked into). */
  readonly checkpoint: boolean;
  /** Rootfs ids that have a ready marker. */
  readonly ready: readonly string[];
  /** Whether it has a `backends` directory. */
  readonly backends: boolean;
  /** Absolute paths of what an interrupted durable write left. */
  readonly temporaries: readonly string[];
}

export interface ContainerScan {
  /** By name, parents before their children. */
  readonly containers: readonly ScannedContainer[];
  /** Absolute paths of what has no place in the layout: files, symlinks, directories whose name is no id. */
  readonly strays: readonly string[];
}

/**
 * Every container below `root`, nested ones and parents that only their children imply included; empty where nothing was ever
 * provisioned. No symlink is followed. Where a directory can't be read, `onUnreadable` hears of it and the rest goes on; by default the
 * system's own error is thrown. Synchronous: one readdir a container. (Mesos: provisioner::paths::listContainers.)
 */
export function scanContainers(root: string, onUnreadable: (directory: string, error: unknown) => void = rethrow): ContainerScan {
  const containers: ScannedContainer[] = [];
  const strays: string[] = [];
  const readDirectory = (directory: string): Dirent[] => {
    try {
      return readdirSync(directory, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onUnreadable(directory, error);
      return [];
    }
  };
  const level = (directory: string, parent: ContainerId | undefined): void => {
    for (const entry of readDirectory(directory)) {
      const path = join(directory, entry.name);
      const id = entry.isDirectory() ? idOf(parent, entry.name) : undefined;
      if (id === undefined) {
        strays.push(path);
        continue;
      }
      const { scanned, nested } = sort(id, path, readDirectory(path), strays);
      containers.push(scanned);
      if (nested) level(nestedDir(path), id);
    }
  };
  level(containersDir(root), undefined);
  return { containers, strays };
}

/** The ids of {@link scanContainers}, parents first. */
export function listContainers(root: string): ContainerId[] {
  return scanContainers(root).containers.map(({ id }) => id);
}

/** What each entry of a container's directory is. */
function sort(id: ContainerId, directory: string, entries: readonly Dirent[], strays: string[]): { scanned: ScannedContainer; nested: boolean } {
  const ready: string[] = [];
  const temporaries: string[] = [];
  let checkpoint = false;
  let backends = false;
  let nested = false;
  for (const entry of entries) {
    const { name } = entry;
    if (entry.isDirectory() && name === BACKENDS) backends = true;
    else if (entry.isDirectory() && name === CONTAINERS) nested = true;
    else if (entry.isFile() && name === CHECKPOINT) checkpoint = true;
    else if (entry.isFile() && name.endsWith(READY_SUFFIX)) ready.push(name.slice(0, -READY_SUFFIX.length));
    else if (entry.isFile() && isTemporary(name)) temporaries.push(join(directory, name));
    else strays.push(join(directory, name));
  }
  return { scanned: { id, directory, checkpoint, ready, backends, temporaries }, nested };
}

function idOf(parent: ContainerId | undefined, segment: string): ContainerId | undefined {
  if (segment.includes('.')) return undefined; // `a.b` as a directory name would read as a nested id
  try {
    return parent === undefined ? parseContainerId(segment) : childOf(parent, segment);
  } catch (error) {
    if (isRootwrightError(error)) return undefined;
    throw error;
  }
}

function rethrow(_directory: string, error: unknown): never {
  throw error;
}
