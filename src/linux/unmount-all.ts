import { lstatSync, readdirSync } from 'node:fs';
import { canonicalPath } from './canonical-path.ts';
import type { Kernel } from './kernel.ts';
import { bytesOf } from './path-bytes.ts';
import { isSystemError, systemError } from './system-error.ts';

/**
 * Unmounts until nothing is mounted at or below `path`, the topmost and deepest first, each taken out of the tree at once (detached).
 * Gives how many mounts it took away; a `path` that does not exist has none. What others mount there meanwhile goes as well. Fails with the
 * first error of a round in which no unmount went well, and with EBUSY where mounts come faster than they go.
 *
 * A mount point below which an empty directory shows needs no look at the mount table, which is as long as the machine has mounts.
 */
export async function unmountAll(kernel: Kernel, path: string): Promise<number> {
  const onPath = await unmountStack(kernel, path);
  if (holdsNothing(path)) return onPath;
  return onPath + (await unmountListed(kernel, canonicalPath(path)));
}

/** More than anyone stacks or nests. */
const ROUNDS = 1000;

async function unmountStack(kernel: Kernel, path: string): Promise<number> {
  for (let unmounted = 0; unmounted < ROUNDS; unmounted += 1) {
    if (!(await kernel.isMountPoint(path))) return unmounted;
    try {
      await kernel.unmount(path, { detach: true });
    } catch (error) {
      // another hand was quicker
      if (!isSystemError(error, 'EINVAL', 'ENOENT') || (await kernel.isMountPoint(path))) throw error;
      return unmounted;
    }
  }
  throw tooMany(path);
}

async function unmountListed(kernel: Kernel, place: string): Promise<number> {
  let unmounted = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const mounts = (await kernel.mountTable()).atOrBelow(place);
    if (mounts.length === 0) return unmounted;
    const errors: unknown[] = [];
    for (const { target } of mounts.toReversed()) {
      try {
        await kernel.unmount(target, { detach: true });
        unmounted += 1;
      } catch (error) {
        // gone with the one above it, or hidden below another: the next look at the table tells
        errors.push(error);
      }
    }
    if (errors.length === mounts.length) throw errors[0];
  }
  throw tooMany(place);
}

/** True where no mount can lie below `path`: it needs a name to lie on. */
function holdsNothing(path: string): boolean {
  try {
    const bytes = bytesOf(path);
    return !lstatSync(bytes).isDirectory() || readdirSync(bytes).length === 0;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return true;
    throw error;
  }
}

function tooMany(path: string): Error {
  return systemError('EBUSY', 'umount2', path, `still mounted after ${ROUNDS} rounds`);
}
