import type { RootwrightError } from '../../errors.ts';
import { BATCH_BYTES, BATCH_ENTRIES, BatchWriter, FLAG, OPERATION, recordBytes, xattrsBytes, type EntryMetadata } from './batch.ts';
import type { ByteString } from './byte-string.ts';
import { isWhole } from './tar-entry.ts';
import type { Thread, WorkerPool } from './worker-pool.ts';

/** How attributes of new entries come out, so that calls that change nothing are left out. */
export interface Process {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
  /** Whether it may give files away and make devices. */
  readonly privileged: boolean;
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
  readonly #target: string;
  /** Of every path: the target and a slash. */
  readonly #prefix: Buffer;
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
    this.#target = target;
    this.#prefix = Buffer.from(`${target}/`);
  }

  /** Begins a file of `size` bytes; its content follows with {@link content}, and {@link endFile} ends it. `sparse`: holes lie between or behind. */
  file(path: ByteString, metadata: EntryMetadata, size: number, sparse: boolean): Promise<void> | undefined {
    const extra = xattrsBytes(metadata.xattrs);
    const waiting = this.#reserve(this.#recordBytes(path, extra));
    if (waiting !== undefined) return waiting.then(() => this.file(path, metadata, size, sparse));
    const batch = this.#current();
    batch.begin(OPERATION.file, this.#flagsOf(metadata) | (sparse ? FLAG.sparse : 0), path, extra);
    batch.metadata(metadata);
    batch.position(0);
    batch.size(size);
    if (extra > 0) batch.xattrs(metadata.xattrs);
    this.#fileOpen = true;
    return undefined;
  }

  /** Content of the file in progress: the bytes `[start, end)` of `chunk` belong at `offset` of it. Offsets ascend. */
  content(chunk: Buffer, start: number, end: number, offset: number): Promise<void> | undefined {
    let from = start;
    for (;;) {
      const at = offset + from - start;
      if (this.#batch === undefined || this.#batch.contentEnd !== at) {
        const waiting = this.#reserve(this.#recordBytes('', 0) + 8);
        if (waiting !== undefined) return waiting.then(() => this.content(chunk, from, end, at));
        this.#current().begin(OPERATION.more, 0, '', 0);
        this.#current().position(at);
      }
      from += this.#current().append(chunk, from, end);
      if (from === end) return undefined;
      this.#flush();
    }
  }

  /** The file in progress is complete. */
  endFile(): void {
    this.#current().addFlags(FLAG.last);
    this.#fileOpen = false;
  }

  symlink(path: ByteString, target: ByteString, metadata: EntryMetadata): Promise<void> | undefined {
    const waiting = this.#reserve(this.#recordBytes(path, target.length));
    if (waiting !== undefined) return waiting.then(() => this.symlink(path, target, metadata));
    const batch = this.#current();
    batch.begin(OPERATION.symlink, this.#flagsOf(metadata) & ~(FLAG.chmod | FLAG.xattrs), path, target.length);
    batch.metadata(metadata);
    batch.text(target);
    return undefined;
  }

  /** A device or FIFO: `mode` has the type's bits. */
  node(path: ByteString, metadata: EntryMetadata, mode: number, major: number, minor: number): Promise<void> | undefined {
    const extra = xattrsBytes(metadata.xattrs);
    const waiting = this.#reserve(this.#recordBytes(path, extra));
    if (waiting !== undefined) return waiting.then(() => this.node(path, metadata, mode, major, minor));
    const batch = this.#current();
    batch.begin(OPERATION.node, this.#flagsOf(metadata), path, extra);
    batch.metadata(metadata);
    batch.device(mode, major, minor);
    if (extra > 0) batch.xattrs(metadata.xattrs);
    return undefined;
  }

  /** A hard link; both paths are below the layer's root. */
  link(path: ByteString, target: ByteString): Promise<void> | undefined {
    const waiting = this.#reserve(this.#recordBytes(path, this.#prefix.length + target.length));
    if (waiting !== undefined) return waiting.then(() => this.link(path, target));
    const batch = this.#current();
    batch.begin(OPERATION.link, 0, path, this.#prefix.length + target.length);
    batch.text(target, this.#prefix);
    return undefined;
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

  #recordBytes(path: ByteString, extraBytes: number): number {
    return recordBytes(this.#prefix.length + path.length, extraBytes);
  }

  #current(): BatchWriter {
    if (this.#batch === undefined) throw new TypeError('no batch has been begun');
    return this.#batch;
  }

  /** Sees to a batch with room for a record of `bytes`; a promise where memory for it must be waited for, and asked for again after. */
  #reserve(bytes: number): Promise<void> | undefined {
    if (this.#batch !== undefined) {
      if (this.#batch.room >= bytes && this.#batch.entries < BATCH_ENTRIES) return undefined;
      this.#flush();
    }
    const memory = bytes > BATCH_BYTES ? new ArrayBuffer((bytes + 7) & ~7) : this.#pool.acquire();
    if (memory instanceof Promise) return this.#beginLater(memory);
    this.#batch = new BatchWriter(memory, this.#prefix);
    return undefined;
  }

  async #beginLater(memory: Promise<ArrayBuffer>): Promise<void> {
    this.#batch = new BatchWriter(await memory, this.#prefix);
  }

  #flush(): void {
    const batch = this.#current();
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
      ((mode & 0o7000) !== 0 || (mode & umask) !== 0 || (xattrs.length > 0 && (mode & 0o200) === 0) ? FLAG.chmod : 0) |
      (xattrs.length > 0 ? FLAG.xattrs : 0) |
      (isWhole(modified) && (accessed === undefined || isWhole(accessed)) ? 0 : FLAG.exactTimes)
    );
  }
}

const WARNINGS = 100;
