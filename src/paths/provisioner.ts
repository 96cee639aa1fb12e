import { basename, dirname, join } from 'node:path';
import { segmentsOf, type ContainerId } from './container-id.ts';

/**
 * The layout under a root directory, as Mesos has it:
 *
 * ```
 * <root>/
 *   state.db                               the index, held open exclusively by the one engine of this directory
 *   provisioner/containers/<id>/
 *     layers                               the checkpoint (JSON, checksummed): every rootfs and the layers it uses
 *     <rootfs id>.ready                    empty; there from the moment a rootfs is whole until its destroy begins
 *     backends/<backend>/rootfses/<rootfs id>/    the root filesystem
 *     backends/<backend>/scratch/<rootfs id>/     what the backend keeps beside it (overlay: upperdir, workdir, links)
 *     containers/<nested id>/              the same again
 *   quarantine/                            what recovery could not name, with a note
 *   store/docker/                          see docker-store.ts
 * ```
 */
export const statePath = (root: string): string => join(root, 'state.db');
export const provisionerDir = (root: string): string => join(root, 'provisioner');
export const quarantineDir = (root: string): string => join(root, 'quarantine');
/** Where a damaged checkpoint of a container is set aside; `unique` keeps an earlier one. */
export const quarantinedCheckpointPath = (root: string, id: ContainerId, unique: string): string =>
  join(quarantineDir(root), `${id}.layers.${unique}`);
/** Says, beside a quarantined file, where it came from and what was wrong with it. */
export const quarantineNotePath = (quarantined: string): string => `${quarantined}.note`;

export const CONTAINERS = 'containers';
export const BACKENDS = 'backends';
export const CHECKPOINT = 'layers';
export const READY_SUFFIX = '.ready';

export const containersDir = (root: string): string => join(provisionerDir(root), CONTAINERS);
export const containerDir = (root: string, id: ContainerId): string =>
  join(provisionerDir(root), ...segmentsOf(id).flatMap((segment) => [CONTAINERS, segment]));
export const checkpointPath = (containerDirectory: string): string => join(containerDirectory, CHECKPOINT);
export const readyPath = (containerDirectory: string, rootfsId: string): string => join(containerDirectory, rootfsId + READY_SUFFIX);
/** Where the containers nested in this one lie. */
export const nestedDir = (containerDirectory: string): string => join(containerDirectory, CONTAINERS);
export const backendsDir = (containerDirectory: string): string => join(containerDirectory, BACKENDS);
export const backendDir = (containerDirectory: string, backend: string): string => join(containerDirectory, BACKENDS, backend);
export const rootfsesDir = (backendDirectory: string): string => join(backendDirectory, 'rootfses');
export const rootfsPath = (backendDirectory: string, rootfsId: string): string => join(rootfsesDir(backendDirectory), rootfsId);
export const scratchesDir = (backendDirectory: string): string => join(backendDirectory, 'scratch');
export const scratchDir = (backendDirectory: string, rootfsId: string): string => join(backendDirectory, 'scratch', rootfsId);
/** The rootfs id that a rootfs path ends with. */
export const rootfsIdOf = (rootfs: string): string => basename(rootfs);

export const overlayUpperDir = (scratch: string): string => join(scratch, 'upperdir');
export const overlayWorkDir = (scratch: string): string => join(scratch, 'workdir');
export const overlayLinksDir = (scratch: string): string => join(scratch, 'links');
/** Where the copy backend builds a tree before one rename makes it the rootfs. */
export const copyPartialDir = (scratch: string): string => join(scratch, 'partial');

/** Where a durable write of `path` prepares its content; leftovers of a crash are recognised by {@link isTemporary}. */
export const temporaryPath = (path: string, unique: string): string => join(dirname(path), `.${basename(path)}.${unique}.tmp`);
export const isTemporary = (name: string): boolean => name.startsWith('.') && name.endsWith('.tmp');
