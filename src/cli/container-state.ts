import type { ContainerOnDisk } from '../actors/read-containers.ts';

/** A container's state as its files tell, for people and `--json`. */
export type StateOnDisk = 'provisioned' | 'unfinished' | 'damaged' | 'parent';

/**
 * `provisioned`: all its root filesystems are whole. `unfinished`: one is being made or taken apart, or was interrupted. `damaged`: its
 * checkpoint can't be read. `parent`: it has none of its own, only nested containers.
 */
export function stateOf({ damage, rootfses }: ContainerOnDisk): StateOnDisk {
  if (damage !== undefined) return 'damaged';
  if (rootfses.length === 0) return 'parent';
  return rootfses.every(({ ready }) => ready) ? 'provisioned' : 'unfinished';
}
