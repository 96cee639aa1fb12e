import { rm } from 'node:fs/promises';
import type { Kernel } from './kernel.ts';
import { systemError } from './system-error.ts';

/** First version. */
export async function removeTree(kernel: Kernel, path: string): Promise<boolean> {
  const mounts = (await kernel.mountTable()).atOrBelow(path);
  if (mounts[0] !== undefined) throw systemError('EBUSY', 'rm', path, `${mounts[0].target} is a mount point`);
  try {
    await rm(path, { recursive: true });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
