import type { RootwrightError } from '../../errors.ts';
import { BATCH_ENTRIES, BatchWriter, FLAG, OPERATION, recordBytes, xattrsBytes, type EntryMetadata } from './batch.ts';
import type { ByteString } from './byte-string.ts';
import type { Thread, WorkerPool } from './worker-pool.ts';

/** How attributes of new entries come out, so that calls that change nothing are left out. */
export interface Process {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** Whether it may give files away and make devices. */
  readonly privileged: boolean;
}

/** A regular file to make. */
export interface FileRequest extends EntryMetadata {
  readonly size: number;
  /** Content comes in pieces, with holes between and behind them. */
  readonly sparse: boolean;
}

/**
 * Gathers the work of one layer into batches for the pool. Batches run on any thread in any order, but for a file that goes on in the
 * next batch: that one goes to the same thread. A method gives a promise only where it must wait for memory, so that the usual case stays
 * synchronous; wait for it before the next call.
 */
export class BatchQueue {
  readonly #pool: WorkerPool;
  readonly #process: Process;
  readonly #layer: number;
  readonly #target: Uint8Array;
  #batch: BatchWriter | undefined;
  /** A file is open: its content goes on. */
  #fileOpen = false;
  #thread: Thread | undefined;
  #underWay = 0;
  #error: RootwrightError | undefined;
  #idle: (() => void) | undefined;
  /** Attributes that the file system has no place for. */
  readonly warnings: string[] = [];

  constructor(pool: WorkerPool, layer: number, target: string, process: Process) {
    this.#pool = pool;
    this.#process = process;
    this.#layer = layer;
    this.#target = new TextEncoder().encode(`${target}/`);
  }

  /** Begins a file; its content follows with {@link content}, and {@link endFile} ends it. */
  file(path: ByteString, file: FileRequest): Promise<void> | undefined {
    const extra = xattrsBytes(file.xattrs);
    const write = (): void => {
      const batch = this.#batch as BatchWriter;
      batch.begin(OPERATION.file, this.#flagsOf(file) | (file.sparse ? FLAG.sparse : 0), path, extra);
      batch.metadata(file);
      batch.position(0);
      batch.size(file.size);
      if (extra > 0) batch.xattrs(file.xattrs);
      this.#fileOpen = true;
    };
    return this.#reserve(recordBytes(path, extra), write);
  }

  /** Content of the file in progress, at `offset` of it; offsets ascend. */
  content(bytes: Buffer, offset: number): Promise<void> | undefined {
    let batch = this.#batch as BatchWriter;
    if (batch.contentEnd !== offset) {
      const waiting = this.#goOn(offset);
      if (waiting !== undefined) return waiting.then(() => this.content(bytes, offset));
      batch = this.#batch as BatchWriter;
    }
    const part = batch.append(bytes);
    if (part === bytes.length) return undefined;
    this.#flush();
    const rest = bytes.subarray(part);
    const waiting = this.#goOn(offset + part);
    return waiting === undefined ? this.content(rest, offset + part) : waiting.then(() => this.content(rest, offset + part));
  }

  /** The file in progress is complete. */
  endFile(): void {
    this.#batch?.addFlags(FLAG.last);
    this.#fileOpen = false;
  }

  symlink(path: ByteString, target: ByteString, metadata: EntryMetadata): Promise<void> | undefined {
    return this.#reserve(recordBytes(path, target.length), () => {
      const batch = this.#batch as BatchWriter;
      batch.begin(OPERATION.symlink, this.#flagsOf(metadata) & ~(FLAG.chmod | FLAG.xattrs), path, target.length);
      batch.metadata(metadata);
      batch.text(target);
    });
  }

  node(path: ByteString, metadata: EntryMetadata, major: number, minor: number): Promise<void> | undefined {
    const extra = xattrsBytes(metadata.xattrs);
    return this.#reserve(recordBytes(path, extra), () => {
      const batch = this.#batch as BatchWriter;
      batch.begin(OPERATION.node, this.#flagsOf(metadata), path, extra);
      batch.metadata(metadata);
      batch.device(major, minor);
      if (extra > 0) batch.xattrs(metadata.xattrs);
    });
  }

  link(path: ByteString, target: ByteString): Promise<void> | undefined {
    return this.#reserve(recordBytes(path, target.length), () => {
      const batch = this.#batch as BatchWriter;
      batch.begin(OPERATION.link, 0, path, target.length);
      batch.text(target);
    });
  }

  /** Fails with IO_ERROR where a batch has failed; work after that makes no sense. */
  check(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  /** Settles when all that was asked for is done. Fails with IO_ERROR. */
  async drain(): Promise<void> {
    if (this.#batch !== undefined && this.#batch.entries > 0) this.#flush();
    await this.#settled();
    this.check();
  }

  /** Gives memory back, once all is done. */
  release(): void {
    this.#pool.release(this.#batch?.memory);
    this.#batch = undefined;
  }

  /** Gives up: settles when nothing of this layer is under way, and gives its memory back. */
  async discard(): Promise<void> {
    await this.#settled();
    this.release();
    if (this.#thread === undefined) return;
    this.#submit({ memory: undefined, length: 0 });
    await this.#settled();
  }

  /** Content goes on at `offset`, in a record of its own. */
  #goOn(offset: number): Promise<void> | undefined {
    return this.#reserve(recordBytes('', 0) + 8, () => {
      this.#batch?.begin(OPERATION.more, 0, '', 0);
      this.#batch?.position(offset);
    });
  }

  /** Runs `write` when there is room for `bytes`. */
  #reserve(bytes: number, write: () => void): Promise<void> | undefined {
    if (this.#batch !== undefined) {
      if (this.#batch.room >= bytes && this.#batch.entries < BATCH_ENTRIES) {
        write();
        return undefined;
      }
      this.#flush();
    }
    const memory = this.#pool.acquire();
    const begin = (block: ArrayBuffer): void => {
      if (block.byteLength < bytes) {
        this.#pool.release(block);
        this.#batch = new BatchWriter(new ArrayBuffer((bytes + 7) & ~7));
      } else {
        this.#batch = new BatchWriter(block);
      }
      write();
    };
    if (memory instanceof Promise) return memory.then(begin);
    begin(memory);
    return undefined;
  }

  #flush(): void {
    const batch = this.#batch as BatchWriter;
    this.#batch = undefined;
    const thread = this.#submit({ memory: batch.memory, length: batch.length });
    this.#thread = this.#fileOpen ? thread : undefined;
  }

  #submit(batch: { memory: ArrayBuffer | undefined; length: number }): Thread | undefined {
    this.#underWay += 1;
    const done = (error: RootwrightError | undefined, warnings: readonly string[]): void => {
      this.#underWay -= 1;
      this.#error ??= error;
      if (this.warnings.length < WARNINGS) this.warnings.push(...warnings.slice(0, WARNINGS));
      if (this.#underWay === 0) this.#idle?.();
    };
    return this.#pool.submit({ ...batch, layer: this.#layer, target: this.#target }, done, this.#thread);
  }

  async #settled(): Promise<void> {
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    this.#idle = undefined;
  }

  #flagsOf({ mode, uid, gid, modified, accessed, xattrs }: EntryMetadata): number {
    const { privileged, umask, ...self } = this.#process;
    return (
      (privileged && (uid !== self.uid || gid !== self.gid) ? FLAG.chown : 0) |
      ((mode & 0o7000) !== 0 || (mode & umask) !== 0 ? FLAG.chmod : 0) |
      (xattrs.length > 0 ? FLAG.xattrs : 0) |
      (modified.nanoseconds !== 0 || (accessed !== undefined && accessed.nanoseconds !== 0) ? FLAG.fraction : 0)
    );
  }
}

const WARNINGS = 100;
