import type { MountTable } from '../linux/mountinfo.ts';
import { scanContainers, type ScannedContainer } from '../paths/list-containers.ts';
import { listRootfses } from '../paths/list-rootfses.ts';
import { backendDir, rootfsPath } from '../paths/provisioner.ts';
import { isRootwrightError, type RootwrightError } from '../errors.ts';
import type { Checkpoint, CheckpointedRootfs } from './checkpoint.ts';
import { readCheckpoint } from './checkpoint-read.ts';
import type { FoundContainer, FoundRootfs } from './recovery-plan.ts';

export interface Found {
  readonly containers: readonly FoundContainer[];
  /** What has no place in the layout. */
  readonly strays: readonly string[];
  /** What could not be read: left alone, and reported. */
  readonly unreadable: ReadonlyArray<{ readonly path: string; readonly error: unknown }>;
}

/**
 * Everything below `provisioner/`, read once: directories, checkpoints, markers, and the mount table in one piece. It changes nothing.
 * Synchronous reads, with a pause for other work every few hundred containers; the time is linear in their number.
 */
export async function findContainers(root: string, table: MountTable): Promise<Found> {
  const strays: string[] = [];
  const unreadable: Array<{ path: string; error: unknown }> = [];
  const scan = scanContainers(root, (path, error) => unreadable.push({ path, error }));
  strays.push(...scan.strays);
  const mounted = new Set(table.mounts.map(({ target }) => target));
  const containers: FoundContainer[] = [];
  for (const [index, scanned] of scan.containers.entries()) {
    if (index % 256 === 255) await new Promise<void>((resolve) => setImmediate(resolve));
    try {
      containers.push(examine(scanned, mounted, strays));
    } catch (error) {
      unreadable.push({ path: scanned.directory, error });
    }
  }
  return { containers, strays, unreadable };
}

/** Backends whose rootfs is a mount: after a reboot the directory is there and the mount is not. */
export const MOUNTING_BACKENDS: ReadonlySet<string> = new Set(['overlay', 'aufs', 'bind']);

function examine(scanned: ScannedContainer, mounted: ReadonlySet<string>, strays: string[]): FoundContainer {
  const { id, directory, temporaries } = scanned;
  const { checkpoint, damage } = scanned.checkpoint ? read(scanned) : { checkpoint: undefined, damage: undefined };
  const markers = new Set(scanned.ready);
  const listing = scanned.backends ? listRootfses(directory) : undefined;
  strays.push(...(listing?.strays ?? []));
  const rootfses: FoundRootfs[] = [];
  const add = (rootfsId: string, backend: string, entry: CheckpointedRootfs | undefined, onDisk: boolean): void => {
    const isMounted = MOUNTING_BACKENDS.has(backend) ? mounted.has(rootfsPath(backendDir(directory, backend), rootfsId)) : undefined;
    rootfses.push({ id: rootfsId, backend, entry, ready: markers.has(rootfsId), onDisk, mounted: isMounted });
  };
  for (const entry of checkpoint?.rootfses ?? [])
    add(entry.id, entry.backend, entry, listing?.rootfses.get(entry.backend)?.includes(entry.id) ?? false);
  for (const [backend, ids] of listing?.rootfses ?? [])
    for (const rootfsId of ids) {
      const named = rootfses.some((other) => other.id === rootfsId && other.backend === backend);
      if (!named) add(rootfsId, backend, undefined, true);
    }
  const staleMarkers = scanned.ready.filter((rootfsId) => !rootfses.some((other) => other.id === rootfsId));
  return { id, directory, rootfses, checkpoint: scanned.checkpoint, damage, staleMarkers, temporaries };
}

function read({ id, directory }: ScannedContainer): { checkpoint: Checkpoint | undefined; damage: RootwrightError | undefined } {
  try {
    return { checkpoint: readCheckpoint(directory, id), damage: undefined };
  } catch (damage) {
    if (isRootwrightError(damage) && damage.code === 'CHECKPOINT_CORRUPT') return { checkpoint: undefined, damage };
    throw damage;
  }
}
