import type { Kernel } from '../linux/kernel.ts';
import { scanContainers, type ScannedContainer } from '../paths/list-containers.ts';
import { listRootfses } from '../paths/list-rootfses.ts';
import { backendDir, rootfsPath } from '../paths/provisioner.ts';
import { isRootwrightError, type RootwrightError } from '../errors.ts';
import type { Checkpoint, CheckpointedRootfs } from './checkpoint.ts';
import { readCheckpoint } from './checkpoint-read.ts';
import type { FoundContainer, FoundRootfs } from './recovery-plan.ts';
import { SharedEntries } from './shared-entries.ts';

export interface Found {
  readonly containers: readonly FoundContainer[];
  /** What has no place in the layout. */
  readonly strays: readonly string[];
  /** What could not be read: left alone, and reported. */
  readonly unreadable: ReadonlyArray<{ readonly path: string; readonly error: unknown }>;
}

/**
 * Everything below `provisioner/`, read once: directories, checkpoints, markers, and what is mounted. It changes nothing. Synchronous
 * reads, with a pause for other work every few hundred containers; the time is linear in their number.
 */
export async function findContainers(root: string, kernel: Kernel): Promise<Found> {
  const strays: string[] = [];
  const unreadable: Array<{ path: string; error: unknown }> = [];
  const scan = scanContainers(root, (path, error) => unreadable.push({ path, error }));
  strays.push(...scan.strays);
  const shared = new SharedEntries();
  const isMounted = await mountQuery(kernel);
  const containers: FoundContainer[] = [];
  for (const [index, scanned] of scan.containers.entries()) {
    if (index % 256 === 255) await new Promise<void>((resolve) => setImmediate(resolve));
    try {
      containers.push(await examine(scanned, isMounted, shared, strays));
    } catch (error) {
      unreadable.push({ path: scanned.directory, error });
    }
  }
  return { containers, strays, unreadable };
}

/** Backends whose rootfs is a mount: after a reboot the directory is there and the mount is not. */
export const MOUNTING_BACKENDS: ReadonlySet<string> = new Set(['overlay', 'aufs', 'bind']);

type MountQuery = (path: string) => Promise<boolean>;

/** Asked one by one where the kernel can: the table of ten thousand overlays is 15 MB of text. Else the table, read once. */
async function mountQuery(kernel: Kernel): Promise<MountQuery> {
  if (kernel.features.quickMountPoint) return (path) => kernel.isMountPoint(path);
  const targets = new Set((await kernel.mountTable()).mounts.map(({ target }) => target));
  return (path) => Promise.resolve(targets.has(path));
}

async function examine(scanned: ScannedContainer, isMounted: MountQuery, shared: SharedEntries, strays: string[]): Promise<FoundContainer> {
  const { id, directory, temporaries } = scanned;
  const { checkpoint, damage } = scanned.checkpoint ? read(scanned) : { checkpoint: undefined, damage: undefined };
  const markers = new Set(scanned.ready);
  const listing = scanned.backends ? listRootfses(directory) : undefined;
  strays.push(...(listing?.strays ?? []));
  const rootfses: FoundRootfs[] = [];
  const add = async (rootfsId: string, backend: string, entry: CheckpointedRootfs | undefined, onDisk: boolean): Promise<void> => {
    const mounted = MOUNTING_BACKENDS.has(backend) ? await isMounted(rootfsPath(backendDir(directory, backend), rootfsId)) : undefined;
    rootfses.push({ id: rootfsId, backend, entry, ready: markers.has(rootfsId), onDisk, mounted });
  };
  for (const entry of checkpoint?.rootfses ?? [])
    await add(entry.id, entry.backend, shared.share(entry), listing?.rootfses.get(entry.backend)?.includes(entry.id) ?? false);
  for (const [backend, ids] of listing?.rootfses ?? [])
    for (const rootfsId of ids) {
      const named = rootfses.some((other) => other.id === rootfsId && other.backend === backend);
      if (!named) await add(rootfsId, backend, undefined, true);
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
