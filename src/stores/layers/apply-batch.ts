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
import { checkCall, type MemoryCalls } from '../../linux/memory-calls.ts';
import { BatchReader, FLAG, OPERATION } from './batch.ts';
import { nanosecondsOf, type Timestamp, type Xattr } from './tar-entry.ts';

/** Carries batches out by synchronous calls, one after the other; runs on a thread of the pool. */
export class BatchApplier {
  readonly #files: FileCalls;
  readonly #calls: MemoryCalls | undefined;
  /** Of the batch in progress: where its memory lies, and its directory, opened. */
  #address = 0;
  #directory = -1;
  #prefixBytes = 0;
  /** A file whose content goes on in the layer's next batch. */
  readonly #open = new Map<number, OpenFile>();
  #warnings: string[] = [];

  /** `calls`, where the machine has them, halve what each file costs besides the kernel's own work. */
  constructor(files: FileCalls, calls: MemoryCalls | undefined) {
    this.#files = files;
    this.#calls = calls;
  }

  /**
   * Makes what `memory` asks for below `target`, a directory that only this layer's batches write to; the parents of every path are there.
   * Fails with the system's error at the first record that can't be done. Gives warnings: attributes that the file system has no place for.
   */
  apply(layer: number, target: string, memory: ArrayBuffer, length: number): string[] {
    this.#warnings = [];
    if (this.#calls === undefined) {
      this.#applyAll(layer, new BatchReader(memory, length));
      return this.#warnings;
    }
    this.#address = this.#calls.addressOf(memory);
    this.#prefixBytes = Buffer.byteLength(target) + 1;
    this.#directory = openSync(target, constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      this.#applyAll(layer, new BatchReader(memory, length));
    } finally {
      closeSync(this.#directory);
    }
    return this.#warnings;
  }

  /** Closes what a layer that failed left open. */
  discard(layer: number): void {
    const file = this.#open.get(layer);
    this.#open.delete(layer);
    if (file !== undefined) this.#close(file.fd);
  }

  #applyAll(layer: number, batch: BatchReader): void {
    while (batch.next()) {
      switch (batch.operation) {
        case OPERATION.file:
          this.#file(layer, batch);
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
  }

  #file(layer: number, batch: BatchReader): void {
    const fd = this.#create(batch);
    if ((batch.flags & FLAG.last) !== 0) return this.#finish(fd, batch, batch);
    this.#open.set(layer, { fd, metadata: keepMetadata(batch) });
    this.#write(fd, batch);
  }

  #more(layer: number, batch: BatchReader): void {
    const file = this.#open.get(layer);
    if (file === undefined) throw new TypeError('a batch goes on with a file that is not open');
    if ((batch.flags & FLAG.last) === 0) return this.#write(file.fd, batch);
    this.#open.delete(layer);
    this.#finish(file.fd, batch, file.metadata);
  }

  #create(batch: BatchReader): number {
    // Without privilege an attribute is set only on what may be written; the mode is set after.
    const mode = (batch.mode & 0o777) | ((batch.flags & FLAG.xattrs) === 0 ? 0 : 0o200);
    if (this.#calls === undefined) return openSync(batch.path, CREATE, mode);
    const fd = this.#calls.create(this.#directory, this.#address + batch.pathStart + this.#prefixBytes, mode);
    return fd < 0 ? checkCall(fd, 'open', batch.path) : fd;
  }

  #write(fd: number, batch: BatchReader): void {
    const { bytes, dataStart, dataBytes, position } = batch;
    for (let done = 0; done < dataBytes; ) {
      if (this.#calls === undefined) done += writeSync(fd, bytes, dataStart + done, dataBytes - done, position + done);
      else {
        const written = this.#calls.write(fd, this.#address + dataStart + done, dataBytes - done, position + done);
        done += written < 0 ? checkCall(written, 'write', batch.path) : written;
      }
    }
  }

  /** The last content, then metadata: owner before mode and attributes, since chown(2) takes set-user-id and capabilities away. */
  #finish(fd: number, batch: BatchReader, metadata: Metadata): void {
    try {
      this.#write(fd, batch);
      const { flags } = metadata;
      if ((flags & ~(FLAG.last | FLAG.exactTimes)) !== 0) this.#setMetadata(fd, metadata);
      if (this.#calls !== undefined && metadata === batch) {
        const result = this.#calls.setTimes(fd, this.#address + batch.timesStart);
        if (result < 0) checkCall(result, 'futimens', batch.path);
      } else if ((flags & FLAG.exactTimes) === 0) futimesSync(fd, metadata.accessed.seconds, metadata.modified.seconds);
      else this.#files.setTimes(metadata.path, nanosecondsOf(metadata.accessed), nanosecondsOf(metadata.modified));
    } finally {
      this.#close(fd);
    }
  }

  /** As it was opened: node:fs keeps account of what a thread opened by it. */
  #close(fd: number): void {
    if (this.#calls === undefined) closeSync(fd);
    else this.#calls.close(fd);
  }

  #setMetadata(fd: number, { flags, size, uid, gid, mode, path, xattrs }: Metadata): void {
    if ((flags & FLAG.sparse) !== 0) ftruncateSync(fd, size);
    if ((flags & FLAG.chown) !== 0) fchownSync(fd, uid, gid);
    if ((flags & FLAG.xattrs) !== 0) this.#setXattrs(path, xattrs);
    if ((flags & FLAG.chmod) !== 0) fchmodSync(fd, mode & 0o7777);
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

/** Sets one attribute. Where the file system has no place for it, or the process is not root and may not set it, that becomes a warning. */
export function setXattr(files: FileCalls, path: Buffer, name: string, value: Buffer, warnings: string[]): void {
  try {
    files.setXattr(path, Buffer.from(name, 'latin1'), value);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const forbidden = code === 'EPERM' && process.geteuid?.() !== 0;
    if (code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && !forbidden) throw error;
    warnings.push(`${path.toString()}: the attribute ${name} could not be kept: ${message}`);
  }
}

/** A file whose content goes on in the next batch. */
interface OpenFile {
  readonly fd: number;
  readonly metadata: Metadata;
}

/** What is set when a file is complete; the record of the file itself, or a copy of what it said. */
interface Metadata {
  readonly flags: number;
  readonly path: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly modified: Timestamp;
  readonly accessed: Timestamp;
  readonly xattrs: readonly Xattr[];
}

const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;

function keepMetadata({ flags, path, mode, uid, gid, size, modified, accessed, xattrs }: BatchReader): Metadata {
  return { flags, path: Buffer.from(path), mode, uid, gid, size, modified, accessed, xattrs: (flags & FLAG.xattrs) === 0 ? [] : xattrs };
}
