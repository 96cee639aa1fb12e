import type { ByteString } from './byte-string.ts';

/** One entry of a tar archive, with all that extension headers say about it put in place. Names are as the archive has them. */
export interface TarEntry {
  readonly kind: TarEntryKind;
  readonly path: ByteString;
  /** Target of a symlink, as it is; of a hard link, the path of an earlier entry. Empty for all other kinds. */
  readonly linkPath: ByteString;
  /** Permission bits with set-user-id, set-group-id and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes, holes included; 0 for all but files. */
  readonly size: number;
  /** Bytes of content that follow in the archive: less than `size` where the file has holes. */
  readonly stored: number;
  readonly modified: Timestamp;
  /** Where the archive tells it. */
  readonly accessed: Timestamp | undefined;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** In the order of the archive. */
  readonly xattrs: readonly Xattr[];
  /** The parts of a sparse file that have data, ascending; undefined where the whole file has. */
  readonly extents: readonly Extent[] | undefined;
  /** Byte offset of its first header in the archive. */
  readonly offset: number;
}

export type TarEntryKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** Since the epoch. A time before it has negative seconds; nanoseconds always count forward, 0 to 999,999,999. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface Xattr {
  readonly name: ByteString;
  readonly value: Buffer;
}

/** A run of data in a sparse file, in bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** Nanoseconds since the epoch, as the kernel port takes them. */
export function nanosecondsOf(time: Timestamp): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
}

/** Whether node:fs sets this time exactly: it takes doubles, and a negative one for now. */
export function isWhole({ seconds, nanoseconds }: Timestamp): boolean {
  return nanoseconds === 0 && seconds >= 0;
}
