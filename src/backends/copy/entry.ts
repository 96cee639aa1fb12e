import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  openSync,
  readlinkSync,
  symlinkSync,
  type BigIntStats,
} from 'node:fs';
import type { FileCalls } from '../../linux/kernel.ts';
import { isSystemError } from '../../linux/system-error.ts';
import { FileDataCopier } from './file-data.ts';
import { pathBytes, type PathString } from '../path-string.ts';
import { setTimes } from '../set-times.ts';

/** What a new entry gets from the kernel in this place, so that only what differs has to be set. Measured on the tree's own directory. */
export interface NewEntryDefaults {
  readonly device: bigint;
  readonly uid: number;
  readonly gid: number;
  /** Permission bits that a new file can't have. */
  readonly umask: number;
  /** Ids, devices and all attributes can be set. */
  readonly privileged: boolean;
}

/**
 * Makes one entry of a tree from one of a layer, with all its metadata: ids, mode, extended attributes, times to the nanosecond. Nothing is
 * ever written through a symlink: a target is created (O_EXCL, O_NOFOLLOW) in a tree that is ours alone, a source is opened with O_NOFOLLOW.
 */
export class EntryCopier {
  /** Bytes of files so far. */
  copiedBytes = 0;
  private readonly files: FileCalls;
  private readonly data: FileDataCopier;
  private readonly defaults: NewEntryDefaults;
  private readonly onUnkept: (what: string, error: unknown) => void;
  private readonly attributed: ReadonlySet<string> | undefined;
  /** Reading must not touch the layer's own access times; only owners may ask for that. */
  private readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NOATIME;

  constructor(files: FileCalls, options: EntryCopierOptions) {
    this.files = files;
    this.data = new FileDataCopier(files, options.checkpoint);
    this.defaults = options.defaults;
    this.onUnkept = options.onUnkept;
    this.attributed = options.attributed;
  }

  /** Makes nothing and gives the inode where `source` has other names too and `keepLinks` is set: which of them show is not known here. */
  copyFile(source: PathString, target: PathString, keepLinks: boolean): string | undefined {
    const from = this.openSource(source);
    try {
      const stat = fstatSync(from, { bigint: true });
      if (!stat.isFile()) throw new Error('it is no regular file any more: the layer is being changed');
      if (keepLinks && stat.nlink > 1n) return inodeOf(stat);
      this.copyOpenFile(from, stat, source, target);
      return undefined;
    } finally {
      closeSync(from);
    }
  }

  /** Symlinks, devices, FIFOs, sockets. As {@link copyFile}. */
  copyOther(source: PathString, target: PathString, keepLinks: boolean): string | undefined {
    const stat = lstatSync(pathBytes(source), { bigint: true });
    if (keepLinks && stat.nlink > 1n) return inodeOf(stat);
    if (stat.isSymbolicLink()) symlinkSync(readlinkSync(pathBytes(source), { encoding: 'buffer' }), pathBytes(target));
    else this.files.mknod(pathBytes(target), Number(stat.mode), majorOf(stat.rdev), minorOf(stat.rdev));
    if (this.ownersDiffer(stat)) lchownSync(pathBytes(target), Number(stat.uid), Number(stat.gid));
    if (!stat.isSymbolicLink()) chmodSync(pathBytes(target), permissionsOf(stat));
    this.copyXattrs(source, target);
    this.keepTimes(stat, target);
    return undefined;
  }

  /** Gives a directory that holds all its entries what the layer's has. */
  finishDirectory(source: PathString, target: PathString): void {
    const stat = lstatSync(pathBytes(source), { bigint: true });
    if (this.ownersDiffer(stat)) lchownSync(pathBytes(target), Number(stat.uid), Number(stat.gid));
    this.copyXattrs(source, target);
    chmodSync(pathBytes(target), permissionsOf(stat));
    this.keepTimes(stat, target);
  }

  private openSource(source: PathString): number {
    try {
      return openSync(pathBytes(source), this.readFlags);
    } catch (error) {
      if (!isSystemError(error, 'EPERM') || (this.readFlags & constants.O_NOATIME) === 0) throw error;
      this.readFlags &= ~constants.O_NOATIME;
      return openSync(pathBytes(source), this.readFlags);
    }
  }

  private copyOpenFile(from: number, stat: BigIntStats, source: PathString, target: PathString): void {
    this.copiedBytes += Number(stat.size);
    const mode = permissionsOf(stat);
    // Attributes are set by path, which only root can do on a file that may not be written.
    const created = this.defaults.privileged ? mode & 0o777 : (mode & 0o777) | 0o600;
    const cloned = this.data.clone(source, stat, target, this.defaults.device);
    const to = openSync(pathBytes(target), cloned ? OPEN_CLONED : CREATE, created);
    try {
      if (!cloned) this.data.copy(from, stat, to);
      const chowned = this.ownersDiffer(stat);
      if (chowned) fchownSync(to, Number(stat.uid), Number(stat.gid));
      // A change of owner, like a write, takes security.capability, setuid and setgid away: those come after it.
      this.copyXattrs(source, target);
      if (cloned || chowned || created !== mode || (mode & this.defaults.umask) !== 0) fchmodSync(to, mode);
      this.keepTimes(stat, target, to);
    } finally {
      closeSync(to);
    }
  }

  private ownersDiffer({ uid, gid }: BigIntStats): boolean {
    return this.defaults.privileged && (Number(uid) !== this.defaults.uid || Number(gid) !== this.defaults.gid);
  }

  private keepTimes({ atimeNs, mtimeNs }: BigIntStats, target: PathString, fd?: number): void {
    const accessedNs = this.attributed === undefined ? atimeNs : atimeNs - (atimeNs % 1_000_000_000n);
    setTimes(this.files, pathBytes(target), accessedNs, mtimeNs, fd);
  }

  private copyXattrs(source: PathString, target: PathString): void {
    if (this.attributed?.has(source) === false) return;
    for (const name of this.files.listXattrs(pathBytes(source))) {
      const text = name.toString('latin1');
      // What overlayfs notes for itself means something else in a tree that is no layer.
      if (text.startsWith('trusted.overlay.')) continue;
      const value = this.files.getXattr(pathBytes(source), name);
      try {
        if (value !== undefined) this.files.setXattr(pathBytes(target), name, value);
      } catch (error) {
        if (!this.mayLose(text, error)) throw error;
        this.onUnkept(`keep the attribute ${text}`, error);
      }
    }
  }

  /** A file system without such attributes, or a user who may not set them, gets the tree without them, as with `cp -a`. */
  private mayLose(name: string, error: unknown): boolean {
    if (isSystemError(error, 'ENOTSUP', 'EOPNOTSUPP')) return true;
    return !this.defaults.privileged && !name.startsWith('user.') && isSystemError(error, 'EPERM', 'EACCES');
  }
}

export interface EntryCopierOptions {
  readonly defaults: NewEntryDefaults;
  /** Throws where the work has been aborted. */
  readonly checkpoint: () => void;
  /** Hears of an attribute that could not be kept. */
  readonly onUnkept: (what: string, error: unknown) => void;
  /** Where every question costs a program: the only paths that have extended attributes. Access times are then kept to the second. */
  readonly attributed?: ReadonlySet<string> | undefined;
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const OPEN_CLONED = constants.O_WRONLY | constants.O_NOFOLLOW;

function inodeOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function permissionsOf({ mode }: BigIntStats): number {
  return Number(mode & 0o7777n);
}

/** As glibc's gnu_dev_major and gnu_dev_minor. */
function majorOf(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
}

function minorOf(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & ~0xffn));
}
