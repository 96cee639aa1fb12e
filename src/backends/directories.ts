import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { RootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import { removeTree } from '../linux/remove-tree.ts';
import { isSystemError } from '../linux/system-error.ts';
import { unmountAll } from '../linux/unmount-all.ts';

/**
 * Makes one directory, and its parents only where they turn out to be missing: in the ordinary case this is a single system call.
 * Fails with EEXIST where something is there already, whatever it is.
 */
export function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    mkdirSync(path, mode);
  }
}

/** Makes the directory that a rootfs will be. Fails with ROOTFS_EXISTS, or IO_ERROR. */
export function makeRootfsDirectory(rootfs: string): void {
  try {
    makeDirectory(rootfs, 0o755);
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) throw rootfsExists(rootfs, error);
    throw ioError(`cannot make the rootfs directory ${rootfs}`, rootfs, error);
  }
}

/** The one error for a rootfs path that is taken. */
export function rootfsExists(rootfs: string, cause?: unknown): RootwrightError {
  return new RootwrightError('ROOTFS_EXISTS', `there is something at ${rootfs} already; destroy it first, or provision under a new rootfs id`, {
    cause,
    details: { rootfs },
  });
}

/** `rmdir` for what may be missing: whether an empty directory was removed. Fails with the system error of anything else. */
export function removeEmptyDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}

/**
 * Removes whatever lies at `path`, a symlink itself and never what it points at. Where something is mounted at or below it, that is
 * unmounted first, its content untouched. False where nothing was there.
 */
export async function removeWithMounts(kernel: Kernel, path: string): Promise<boolean> {
  try {
    return await removeTree(kernel, path);
  } catch (error) {
    if (!isSystemError(error, 'EBUSY')) throw error;
  }
  await unmountAll(kernel, path);
  await removeTree(kernel, path);
  return true;
}

/** Wraps an error of the operating system. */
export function ioError(message: string, path: string, cause: unknown): RootwrightError {
  return new RootwrightError('IO_ERROR', `${message}: ${reasonOf(cause)}`, { cause, details: { path } });
}

/** What an error says, for the end of a message. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
