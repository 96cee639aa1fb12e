import type { MountTable } from './mountinfo.ts';

/**
 * The kernel as the engine uses it: mounts, and the few calls that node:fs lacks. Nothing else in src/ mounts, or reads /proc.
 *
 * A failed call rejects with a {@link SystemError}: Node's own shape (`code` 'EBUSY', `errno` -16, `syscall` 'umount2', `path`), so that
 * errors of node:fs and of this port are handled alike. Mount calls are not interruptible: there is no AbortSignal, callers check theirs
 * before and after.
 *
 * @example
 * await kernel.mount({ type: 'overlay', source: 'overlay', target: '/c/1/rootfs', options: [
 *   ['lowerdir+', '/layers/top'], ['lowerdir+', '/layers/base'], ['upperdir', '/c/1/upper'], ['workdir', '/c/1/work'] ] });
 * await kernel.setPropagation('/c/1/rootfs', 'slave');
 * await kernel.setPropagation('/c/1/rootfs', 'shared');
 * await kernel.unmount('/c/1/rootfs', { detach: true });
 *
 * Implementations: koffi-kernel.ts (system calls), util-linux-kernel.ts (programs), simulated/ (in memory). One conformance suite,
 * test/conformance/kernel.ts, holds them all.
 */
export interface Kernel {
  readonly name: 'koffi' | 'util-linux' | 'simulated';
  /** What this adapter on this kernel can do; probed, never guessed from a version. */
  readonly features: KernelFeatures;

  /** Mounts a new file system. */
  mount(request: MountRequest): Promise<void>;
  /** Makes `source` (a directory or a file) appear at `target`, not recursively. `readOnly` holds from the first instant that others see it, or the mount is undone. */
  bind(source: string, target: string, options?: { readonly readOnly?: boolean }): Promise<void>;
  /** Changes the propagation of the one mount at `target` (topmost where several are stacked). EINVAL where `target` is no mount point. */
  setPropagation(target: string, propagation: Propagation): Promise<void>;
  /** Takes the topmost mount at `target` away, never following a symlink. EINVAL where nothing is mounted, EBUSY where it is in use; `detach` takes it out of the tree at once and whole, with all that is mounted below. */
  unmount(target: string, options?: { readonly detach?: boolean }): Promise<void>;
  /** All mounts of this mount namespace, parents before children. */
  mountTable(): Promise<MountTable>;
  /** Whether `path` is the root of a mount, in constant time where the kernel has statx(2). False where `path` does not exist. A symlink is never followed. */
  isMountPoint(path: string): Promise<boolean>;

  /** The file system that holds `path`. */
  filesystemType(path: string): Promise<FilesystemType>;
  /** File system types that the kernel has now, as in /proc/filesystems. */
  filesystems(): Promise<ReadonlySet<string>>;
  /** Flushes the whole file system that holds `path`: every byte and name written to it before is durable afterwards. */
  syncFilesystem(path: string): Promise<void>;

  /** Calls on single files, synchronous, usable in worker threads too. */
  readonly files: FileCalls;
}

/** Calls on one directory entry that node:fs lacks. Synchronous; symlinks are never followed. Paths are bytes: names need not be UTF-8. */
export interface FileCalls {
  /** `mode` includes the type bits (S_IFCHR…). */
  mknod(path: Path, mode: number, major: number, minor: number): void;
  setXattr(path: Path, name: Path, value: Buffer): void;
  /** undefined where the attribute, or the file system's support for it, is missing. */
  getXattr(path: Path, name: Path): Buffer | undefined;
  /** Empty where the file system has none. */
  listXattrs(path: Path): Buffer[];
  /** Nanoseconds since the epoch; undefined leaves that time as it is. */
  setTimes(path: Path, accessed: bigint | undefined, modified: bigint | undefined): void;
  /** Data extents of an open file, `[offset, end)` in bytes, as SEEK_DATA and SEEK_HOLE tell; one extent over all where the file system can't tell. */
  dataExtents(fd: number, size: number): Array<readonly [offset: number, end: number]>;
}

/** A path: text, or bytes where it may not be UTF-8. */
export type Path = string | Buffer;

/** What one adapter can do here. */
export interface KernelFeatures {
  /** overlay takes its lower directories one by one ('lowerdir+'), so that neither their number nor ':' matters. */
  readonly overlayLowerdirAppend: boolean;
  /** `isMountPoint` takes constant time, so that a few paths are better asked one by one than looked up in the mount table. */
  readonly quickMountPoint: boolean;
}

export interface MountRequest {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean;
  /** In order; a key may come several times ('lowerdir+'). A value is the plain string: no escapes, the adapter adds what its way needs or fails with EINVAL. */
  readonly options?: ReadonlyArray<readonly [key: string, value?: string]>;
  /**
   * The directory that relative paths in option values start from. It keeps mount data short and free of odd characters: the backend
   * puts symlinks `0`, `1`, … there. Adapters reach it by its path or a descriptor; they never change this process's working directory.
   */
  readonly directory?: string;
}

export type Propagation = 'private' | 'slave' | 'shared' | 'unbindable';

/** statfs(2) f_type and its usual name ('ext', 'xfs', 'overlay'); 'unknown' where the magic has none. */
export interface FilesystemType {
  readonly magic: number;
  readonly name: string;
}
