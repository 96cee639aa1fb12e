import { existsSync } from 'node:fs';
import { backendDir, overlayUpperDir, overlayWorkDir, rootfsPath, scratchDir } from '../paths/provisioner.ts';
import type { CheckpointedLayer } from './checkpoint.ts';
import type { Container, ContainerState, Rootfs } from './container-record.ts';
import { MOUNTING_BACKENDS } from './find-containers.ts';
import type { ProvisionerParts } from './parts.ts';

export interface InspectedContainer {
  readonly id: string;
  readonly state: ContainerState;
  readonly directory: string;
  /** Ids of the containers nested directly in it. */
  readonly nested: readonly string[];
  readonly rootfses: readonly InspectedRootfs[];
}

export interface InspectedRootfs {
  readonly id: string;
  readonly backend: string;
  /** Absolute path of the root filesystem. */
  readonly rootfs: string;
  /** Whether it was finished; false while it is provisioned or destroyed, and after a failed destroy. */
  readonly ready: boolean;
  /** Whether it is mounted now; undefined for a backend that mounts nothing. */
  readonly mounted: boolean | undefined;
  readonly ephemeralVolumes: readonly string[];
  /** '' where a damaged checkpoint took it. */
  readonly image: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** Lowest first. */
  readonly layers: readonly CheckpointedLayer[];
  /** False where a damaged checkpoint took the layers. */
  readonly layersKnown: boolean;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** All that is known of one container. Fails with IO_ERROR. */
export async function inspectContainer(parts: ProvisionerParts, container: Container): Promise<InspectedContainer> {
  const { id, state, directory, children, rootfses } = container;
  return {
    id,
    state,
    directory,
    nested: Array.from(children, (child) => child.id),
    rootfses: await Promise.all(rootfses.map((rootfs) => inspectRootfs(parts, directory, rootfs))),
  };
}

async function inspectRootfs(parts: ProvisionerParts, directory: string, rootfs: Rootfs): Promise<InspectedRootfs> {
  const { id, backend, image, manifestDigest, configDigest, layers, layersKnown, createdAt, whole } = rootfs;
  const backendDirectory = backendDir(directory, backend);
  const path = rootfsPath(backendDirectory, id);
  const mounted = MOUNTING_BACKENDS.has(backend) ? await parts.kernel.isMountPoint(path) : undefined;
  const ephemeralVolumes = volumesIn(scratchDir(backendDirectory, id));
  return { id, backend, rootfs: path, ready: whole, mounted, ephemeralVolumes, image, manifestDigest, configDigest, layers, layersKnown, createdAt };
}

/** The writable directories that a layered backend keeps in its scratch directory. */
function volumesIn(scratch: string): string[] {
  return [overlayUpperDir(scratch), overlayWorkDir(scratch)].filter((path) => existsSync(path));
}
