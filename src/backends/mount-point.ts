import { lstatSync } from 'node:fs';
import { isRootwrightError, RootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import { isSystemError } from '../linux/system-error.ts';
import { removeTree } from '../linux/remove-tree.ts';
import { unmountAll } from '../linux/unmount-all.ts';
import type { OnSwallowed } from './backend-options.ts';
import { ioError, reasonOf, removeEmptyDirectory } from './directories.ts';

/**
 * Runs `mount`, then makes the new mount at `rootfs` shared+slave: it hears what is mounted on the host, and is a peer group of its own for
 * the container. Mesos' order; one call can't do both. Where that fails the mount is undone: one with another propagation would carry a
 * container's mounts out to the host. Fails with MOUNT_FAILED.
 */
export async function mountSharedSlave(kernel: Kernel, rootfs: string, mount: () => Promise<void>, onSwallowed?: OnSwallowed): Promise<void> {
  try {
    await mount();
  } catch (error) {
    if (isRootwrightError(error)) throw error;
    throw mountFailed(rootfs, 'mount', error);
  }
  try {
    await kernel.setPropagation(rootfs, 'slave');
    await kernel.setPropagation(rootfs, 'shared');
  } catch (error) {
    await kernel
      .unmount(rootfs, { detach: true })
      .catch((undoing: unknown) => onSwallowed?.(`unmount ${rootfs} after its propagation failed`, undoing));
    throw mountFailed(rootfs, 'make shared and slave the mount of', error);
  }
}

/**
 * Takes every mount away that is stacked at `rootfs`, and removes the directory below them. Detaching takes what the container mounted
 * inside along, and works while files inside are open (MESOS-9196). In the ordinary case this never reads the mount table, which is long
 * where there are many containers. `whenNotEmpty` says what a directory with content below the mounts is: left over, or not ours to delete.
 * True where there was a mount or a directory. Fails with UNMOUNT_FAILED, IO_ERROR.
 */
export async function removeMountPoint(kernel: Kernel, rootfs: string, whenNotEmpty: 'remove' | 'refuse' = 'remove'): Promise<boolean> {
  const mounts = await detachStack(kernel, rootfs);
  try {
    return removeEmptyDirectory(rootfs) || mounts > 0;
  } catch (error) {
    if (!isSystemError(error, 'EBUSY', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw ioError(`cannot remove the directory ${rootfs}`, rootfs, error);
  }
  try {
    await unmountAll(kernel, rootfs);
    if (whenNotEmpty === 'remove' || !lstatSync(rootfs).isDirectory()) await removeTree(kernel, rootfs);
    else removeEmptyDirectory(rootfs);
    return true;
  } catch (error) {
    if (isSystemError(error, 'EBUSY')) throw unmountFailed(rootfs, error);
    throw ioError(`cannot remove ${rootfs}`, rootfs, error);
  }
}

/** Detaches the topmost mount at `target` until none is left; how many there were. Asking the kernel about one path takes constant time. Fails with UNMOUNT_FAILED. */
export async function detachStack(kernel: Kernel, target: string): Promise<number> {
  let mounts = 0;
  try {
    while (await kernel.isMountPoint(target)) {
      await kernel.unmount(target, { detach: true });
      mounts += 1;
    }
    return mounts;
  } catch (error) {
    // Somebody else was quicker, and the directory may be gone with the mount.
    if (isSystemError(error, 'EINVAL', 'ENOENT') && !(await kernel.isMountPoint(target))) return mounts + 1;
    throw unmountFailed(target, error);
  }
}

function unmountFailed(rootfs: string, cause: unknown): RootwrightError {
  return new RootwrightError('UNMOUNT_FAILED', `cannot unmount ${rootfs}: ${reasonOf(cause)}; nothing was deleted, destroy can be tried again`, {
    cause,
    details: { rootfs },
  });
}

function mountFailed(rootfs: string, what: string, cause: unknown): RootwrightError {
  return new RootwrightError('MOUNT_FAILED', `cannot ${what} ${rootfs}: ${reasonOf(cause)}`, { cause, details: { rootfs } });
}
