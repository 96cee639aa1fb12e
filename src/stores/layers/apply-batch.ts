import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import type { FileCalls } from '../../linux/kernel.ts';
import { BatchReader, FLAG, OPERATION } from './batch.ts';
import { nanosecondsOf, type Timestamp, type Xattr } from './tar-entry.ts';

/** Carries batches out by synchronous calls, one after the other; runs on a thread of the pool. */
export class BatchApplier {
  readonly #files: FileCalls;
  /** A file whose content goes on in the layer's next batch. */
  readonly #open = new Map<number, OpenFile>();
  #warnings: string[] = [];

  constructor(files: FileCalls) {
    this.#files = files;
  }

  /**
   * Makes what `memory` asks for, in a directory that only this layer's batches write to; the parents of every path are there. Fails with
   * the system's error at the first record that can't be done. Gives warnings: attributes that the file system has no place for.
   */
  apply(layer: number, memory: ArrayBuffer, length: number): string[] {
    this.#warnings = [];
    const batch = new BatchReader(memory, length);
    while (batch.next()) {
      switch (batch.operation) {
        case OPERATION.file:
          this.#file(layer, batch, batch.path);
          break;
        case OPERATION.more:
          this.#more(layer, batch);
          break;
        case OPERATION.symlink:
          this.#symlink(batch, batch.path);
          break;
        case OPERATION.node:
          this.#node(batch, batch.path);
          break;
        case OPERATION.link:
          linkSync(batch.text, batch.path);
          break;
        default:
          throw new TypeError(`a batch asks for the unknown operation ${batch.operation}`);
      }
    }
    return this.#warnings;
  }

  /** Closes what a layer that failed left open. */
  discard(layer: number): void {
    const file = this.#open.get(layer);
    this.#open.delete(layer);
    if (file !== undefined) closeSync(file.fd);
  }

  #file(layer: number, batch: BatchReader, path: Buffer): void {
    const { flags, mode } = batch;
    const fd = openSync(path, CREATE, mode & 0o777);
    const file: OpenFile = { fd, flags, path, metadata: batch, xattrs: (flags & FLAG.xattrs) === 0 ? NONE : batch.xattrs };
    if ((flags & FLAG.last) !== 0) return this.#finish(file, batch, batch);
    this.#open.set(layer, { ...file, path: Buffer.from(path), metadata: keepMetadata(batch) });
    writeAll(fd, batch);
  }

  #more(layer: number, batch: BatchReader): void {
    const file = this.#open.get(layer);
    if (file === undefined) throw new TypeError('a batch goes on with a file that is not open');
    if ((batch.flags & FLAG.last) === 0) return writeAll(file.fd, batch);
    this.#open.delete(layer);
    this.#finish(file, file.metadata, batch);
  }

  /** The last content, then metadata: owner before mode and attributes, since chown(2) takes set-user-id and capabilities away. */
  #finish({ fd, flags, path, xattrs }: OpenFile, metadata: Metadata, batch: BatchReader): void {
    try {
      writeAll(fd, batch);
      if ((flags & FLAG.sparse) !== 0) ftruncateSync(fd, metadata.size);
      if ((flags & FLAG.chown) !== 0) fchownSync(fd, metadata.uid, metadata.gid);
      if (xattrs.length > 0) this.#setXattrs(path, xattrs);
      if ((flags & FLAG.chmod) !== 0) fchmodSync(fd, metadata.mode & 0o7777);
      if ((flags & FLAG.exactTimes) === 0) futimesSync(fd, metadata.accessed.seconds, metadata.modified.seconds);
      else this.#files.setTimes(path, nanosecondsOf(metadata.accessed), nanosecondsOf(metadata.modified));
    } finally {
      closeSync(fd);
    }
  }

  #symlink(batch: BatchReader, path: Buffer): void {
    symlinkSync(batch.text, path);
    if ((batch.flags & FLAG.chown) !== 0) lchownSync(path, batch.uid, batch.gid);
    if ((batch.flags & FLAG.exactTimes) === 0) lutimesSync(path, batch.accessed.seconds, batch.modified.seconds);
    else this.#files.setTimes(path, nanosecondsOf(batch.accessed), nanosecondsOf(batch.modified));
  }

  #node(batch: BatchReader, path: Buffer): void {
    const { flags } = batch;
    this.#files.mknod(path, batch.mode, batch.major, batch.minor);
    if ((flags & FLAG.chown) !== 0) lchownSync(path, batch.uid, batch.gid);
    if ((flags & FLAG.xattrs) !== 0) this.#setXattrs(path, batch.xattrs);
    if ((flags & FLAG.chmod) !== 0) chmodSync(path, batch.mode & 0o7777);
    this.#files.setTimes(path, nanosecondsOf(batch.accessed), nanosecondsOf(batch.modified));
  }

  #setXattrs(path: Buffer, xattrs: readonly Xattr[]): void {
    for (const { name, value } of xattrs) setXattr(this.#files, path, name, value, this.#warnings);
  }
}

/** Sets one attribute. Where the file system has no place for it, as tmpfs for some, that becomes a warning. */
export function setXattr(files: FileCalls, path: Buffer, name: string, value: Buffer, warnings: string[]): void {
  try {
    files.setXattr(path, Buffer.from(name, 'latin1'), value);
  } catch (error) {
    if (!WARNED.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    warnings.push(`${path.toString()}: the attribute ${name} could not be kept: ${(error as Error).message}`);
  }
}

interface OpenFile {
  readonly fd: number;
  readonly flags: number;
  readonly path: Buffer;
  readonly metadata: Metadata;
  readonly xattrs: readonly Xattr[];
}

interface Metadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly modified: Timestamp;
  readonly accessed: Timestamp;
}

const NONE: readonly Xattr[] = [];
const WARNED: ReadonlySet<string> = new Set(['ENOTSUP', 'EOPNOTSUPP']);
const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;

function keepMetadata({ mode, uid, gid, size, modified, accessed }: BatchReader): Metadata {
  return { mode, uid, gid, size, modified, accessed };
}

function writeAll(fd: number, { bytes, dataStart, dataBytes, position }: BatchReader): void {
  for (let done = 0; done < dataBytes; ) done += writeSync(fd, bytes, dataStart + done, dataBytes - done, position + done);
}
