import { lstat, readdir } from 'node:fs/promises';
import type { Kernel } from './kernel.ts';
import { bytesOf } from './path-bytes.ts';
import { isSystemError } from './system-error.ts';

/**
 * Unmounts until nothing is mounted at or below `path`, the topmost and deepest first, each taken out of the tree at once (detached).
 * Gives how many mounts it took away; a `path` that does not exist has none. Fails with the first error of a round in which no unmount
 * went well. What is mounted there meanwhile is found as well, up to {@link ROUNDS} times.
 *
 * A mount point that turns out to be an empty directory needs no look at the mount table, which is as long as the machine has mounts.
 */
export async function unmountAll(kernel: Kernel, path: string): Promise<number> {
  let unmounted = 0;
  while (unmounted < ROUNDS && (await kernel.isMountPoint(path))) {
    await kernel.unmount(path, { detach: true });
    unmounted += 1;
  }
  if (await holdsNothing(path)) return unmounted;
  for (let round = 0; round < ROUNDS; round += 1) {
    const mounts = (await kernel.mountTable()).atOrBelow(path);
    if (mounts.length === 0) return unmounted;
    const errors: unknown[] = [];
    for (const { target } of mounts.toReversed()) {
      try {
        await kernel.unmount(target, { detach: true });
        unmounted += 1;
      } catch (error) {
        // EINVAL and ENOENT: gone already with the one above it, or hidden below another; the next look at the table tells
        errors.push(error);
      }
    }
    if (errors.length === mounts.length) throw errors[0];
  }
  return unmounted;
}

const ROUNDS = 1000;

/** True where no mount can lie below `path`: it needs a name to lie on. */
async function holdsNothing(path: string): Promise<boolean> {
  try {
    const bytes = bytesOf(path);
    if (!(await lstat(bytes)).isDirectory()) return true;
    return (await readdir(bytes)).length === 0;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return true;
    throw error;
  }
}
