import { systemError } from './system-error.ts';

/**
 * Makes a SystemError of what mount(8), umount(8) and the other programs say under LC_ALL=C. They keep the errno to themselves, so it is read
 * back from their words; words that we don't know give EIO. The text stays in the message.
 */
export function programError(syscall: string, path: string, stderr: string, exitCode: number): Error {
  const text = stderr.trim().replaceAll(/\s*\n\s*/g, ' ');
  return systemError(errnoOf(text, path), syscall, path, text === '' ? `exit code ${exitCode}` : text);
}

/** The errno that a program's words stand for. `path` is cut out first: it may hold any words itself. */
export function errnoOf(stderr: string, path = ''): string {
  const text = (path === '' ? stderr : stderr.replaceAll(path, '')).toLowerCase();
  return PHRASES.find(([phrase]) => text.includes(phrase))?.[1] ?? 'EIO';
}

/** What util-linux says in its own words (sys-utils/mount.c, libmount/src/context_mount.c and context_umount.c) comes first, then the C library's strerror(3). */
const PHRASES: ReadonlyArray<readonly [phrase: string, code: string]> = [
  ['unknown filesystem type', 'ENODEV'],
  ['mount point does not exist', 'ENOENT'],
  ['special device', 'ENOENT'],
  ['mount point is not a directory', 'ENOTDIR'],
  ['not mount point or bad option', 'EINVAL'],
  ['not a mount point', 'EINVAL'],
  ['wrong fs type, bad option', 'EINVAL'],
  ['bad usage', 'EINVAL'],
  ['not mounted', 'EINVAL'],
  ['no mount point specified', 'EINVAL'],
  ['target is busy', 'EBUSY'],
  ['mount point busy', 'EBUSY'],
  ['already mounted', 'EBUSY'],
  ['must be superuser', 'EPERM'],
  ['only root can', 'EPERM'],
  ['write-protected', 'EROFS'],
  ['is read-only', 'EROFS'],
  ['no such attribute', 'ENODATA'],
  ['operation not permitted', 'EPERM'],
  ['no such file or directory', 'ENOENT'],
  ['input/output error', 'EIO'],
  ['no such device or address', 'ENXIO'],
  ['argument list too long', 'E2BIG'],
  ['cannot allocate memory', 'ENOMEM'],
  ['permission denied', 'EACCES'],
  ['block device required', 'ENOTBLK'],
  ['device or resource busy', 'EBUSY'],
  ['file exists', 'EEXIST'],
  ['invalid cross-device link', 'EXDEV'],
  ['no such device', 'ENODEV'],
  ['not a directory', 'ENOTDIR'],
  ['is a directory', 'EISDIR'],
  ['invalid argument', 'EINVAL'],
  ['too many open files', 'EMFILE'],
  ['no space left on device', 'ENOSPC'],
  ['read-only file system', 'EROFS'],
  ['numerical result out of range', 'ERANGE'],
  ['file name too long', 'ENAMETOOLONG'],
  ['function not implemented', 'ENOSYS'],
  ['too many levels of symbolic links', 'ELOOP'],
  ['no data available', 'ENODATA'],
  ['operation not supported', 'ENOTSUP'],
  ['stale file handle', 'ESTALE'],
  ['structure needs cleaning', 'EUCLEAN'],
  ['disk quota exceeded', 'EDQUOT'],
];
