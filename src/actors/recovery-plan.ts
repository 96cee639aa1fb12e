import type { RootwrightError } from '../errors.ts';
import { parentOf, type ContainerId } from '../paths/container-id.ts';
import type { CheckpointedRootfs } from './checkpoint.ts';

/** One rootfs as recovery finds it: named by the checkpoint, there as a directory, marked as ready, in any combination. */
export interface FoundRootfs {
  readonly id: string;
  readonly backend: string;
  /** Its entry in the checkpoint. */
  readonly entry: CheckpointedRootfs | undefined;
  readonly ready: boolean;
  readonly onDisk: boolean;
  /** Whether something is mounted on it; undefined for a backend that mounts nothing, or that this build does not know. */
  readonly mounted: boolean | undefined;
}

/** One container as recovery finds it. */
export interface FoundContainer {
  readonly id: ContainerId;
  readonly directory: string;
  readonly rootfses: readonly FoundRootfs[];
  /** It has a checkpoint, damaged or not. */
  readonly checkpoint: boolean;
  /** Why its checkpoint can't be used, where it has one that can't. */
  readonly damage: RootwrightError | undefined;
  /** Ready markers of rootfses that neither the checkpoint nor the disk has. */
  readonly staleMarkers: readonly string[];
  readonly temporaries: readonly string[];
}

export type RootfsVerdict = 'whole' | 'unmounted' | 'interrupted' | 'missing';

export interface PlannedContainer {
  readonly container: FoundContainer;
  readonly keep: boolean;
  /** The reason for `keep`, as operators read it. */
  readonly why: string;
  readonly verdicts: readonly RootfsVerdict[];
}

/**
 * What recovery does with each container; pure, and the whole of its judgement.
 *
 * With `known`, a container is kept if it is known or a known one is nested in it. Without, if it or one nested in it has a rootfs that is
 * whole. The rest is taken apart, as is every rootfs of a kept container that is not whole. (mesos.md 3.2; its recovery knew only the first
 * way, and could not tell a half made rootfs from a whole one.)
 */
export function planRecovery(found: readonly FoundContainer[], known: ReadonlySet<ContainerId> | undefined): PlannedContainer[] {
  const planned = found.map((container) => ({ container, verdicts: container.rootfses.map(judge) }));
  const whole = planned.filter(({ verdicts }) => verdicts.some(stands)).map(({ container }) => container.id);
  const kept = known === undefined ? withAncestors(whole, 'it has a rootfs that is whole') : withAncestors(known, 'it is known');
  const otherwise = known === undefined ? 'neither it nor a container nested in it has a rootfs that is whole' : 'it is not known';
  return planned.map(({ container, verdicts }) => {
    const why = kept.get(container.id);
    return { container, verdicts, keep: why !== undefined, why: why ?? otherwise };
  });
}

/** Whether a rootfs can be used; `unmounted` is one that a reboot took the mount from, its directories being all there. */
export function judge({ ready, onDisk, mounted }: FoundRootfs): RootfsVerdict {
  if (!ready) return 'interrupted';
  if (!onDisk) return 'missing';
  return mounted === false ? 'unmounted' : 'whole';
}

/** A rootfs that recovery leaves alone. */
export function stands(verdict: RootfsVerdict): boolean {
  return verdict === 'whole' || verdict === 'unmounted';
}

/** Each id with its reason, and each of its ancestors: a known container may be nested where it has no directory of its own. */
function withAncestors(ids: Iterable<ContainerId>, why: string): Map<ContainerId, string> {
  const reasons = new Map<ContainerId, string>();
  for (const id of ids) {
    reasons.set(id, why);
    for (let parent = parentOf(id); parent !== undefined && !reasons.has(parent); parent = parentOf(parent))
      reasons.set(parent, `${id} is nested in it`);
  }
  return reasons;
}
