import { type ContainerOnDisk, readContainer, readContainers } from '../actors/read-containers.ts';
import { listEphemeralVolumes } from '../backends/ephemeral-volumes.ts';
import { openKernel } from '../linux/open-kernel.ts';
import { backendDir, scratchDir } from '../paths/provisioner.ts';
import { type StateOnDisk, stateOf } from './container-state.ts';

/** What `inspect` shows; also its JSON document. */
export interface Inspection extends Omit<ContainerOnDisk, 'rootfses'> {
  readonly state: StateOnDisk;
  /** Ids of the containers nested directly in it. */
  readonly nested: readonly string[];
  readonly rootfses: ReadonlyArray<
    ContainerOnDisk['rootfses'][number] & { readonly ephemeralVolumes: readonly string[]; readonly mounted?: boolean }
  >;
}

/** One container as disk and mount table have it, undefined where there is none. Fails with INVALID_CONTAINER_ID. */
export async function inspect(root: string, id: string): Promise<Inspection | undefined> {
  const container = readContainer(root, id);
  if (container === undefined) return undefined;
  const kernel = await openKernel();
  const volumes = await listEphemeralVolumes(root);
  const rootfses = await Promise.all(
    container.rootfses.map(async (rootfs) => {
      const scratch = `${scratchDir(backendDir(container.directory, rootfs.backend), rootfs.id)}/`;
      const mounted = rootfs.backend === 'copy' ? {} : { mounted: await kernel.isMountPoint(rootfs.rootfs) };
      return { ...rootfs, ...mounted, ephemeralVolumes: volumes.filter((volume) => volume.startsWith(scratch)) };
    }),
  );
  const nested = readContainers(root).filter((other) => other.id.startsWith(`${id}.`) && !other.id.slice(id.length + 1).includes('.'));
  return { ...container, state: stateOf(container), nested: nested.map((other) => other.id), rootfses };
}
