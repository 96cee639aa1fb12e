import { Worker } from 'node:worker_threads';
import { RootwrightError } from '../../errors.ts';
import { BATCH_BYTES } from './batch.ts';
import type { BatchMessage, BatchReply } from './unpack-worker.ts';

/** How a batch ended; no batch is under way any more when it is called. */
export type BatchDone = (error: RootwrightError | undefined, warnings: readonly string[]) => void;

/** Blocks of memory in circulation: they bound the bytes in flight. */
const BLOCKS = 16;

/**
 * A few threads that make files, shared by all layers that are unpacked at once. They start with the first batch, keep no process alive
 * while they are idle, and end with {@link WorkerPool.close}.
 */
export class WorkerPool {
  readonly #size: number;
  readonly #threads: Thread[] = [];
  readonly #free: ArrayBuffer[] = [];
  readonly #waiting: Array<(memory: ArrayBuffer) => void> = [];
  #blocks = 0;
  #layers = 0;
  #nextLayer = 1;
  #closed = false;

  constructor(size: number) {
    this.#size = size;
  }

  /** A layer begins: gives it a number, and starts the threads so that they are up when the first batch comes. */
  enter(): number {
    if (this.#closed) throw new RootwrightError('ENGINE_CLOSED', 'the layer unpacker has been closed');
    while (this.#threads.length < this.#size) this.#threads.push(new Thread(this));
    this.#layers += 1;
    return this.#nextLayer++;
  }

  /** A layer ends; it has no batch under way. */
  leave(): void {
    this.#layers -= 1;
  }

  /** Memory for a batch: at once, or when one that is under way has come back. */
  acquire(): ArrayBuffer | Promise<ArrayBuffer> {
    const memory = this.#free.pop();
    if (memory !== undefined) return memory;
    // Each layer holds one block that it is filling, so there must be more blocks than layers for any to be under way.
    if (this.#blocks < Math.max(BLOCKS, 2 * this.#layers)) {
      this.#blocks += 1;
      return new ArrayBuffer(BATCH_BYTES);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Gives memory back. Larger blocks than usual were made for one batch only. */
  release(memory: ArrayBuffer | undefined): void {
    if (memory === undefined || memory.byteLength !== BATCH_BYTES) return;
    const next = this.#waiting.shift();
    if (next !== undefined) next(memory);
    else this.#free.push(memory);
  }

  /**
   * Hands a batch to `thread`, or to the one with the least to do; which one that was. Without memory the layer lets go of the file that it
   * has open there.
   */
  submit(batch: Omit<BatchMessage, 'id'>, done: BatchDone, thread?: Thread): Thread | undefined {
    const chosen =
      thread ?? this.#threads.reduce<Thread | undefined>((best, next) => (best === undefined || next.load < best.load ? next : best), undefined);
    if (chosen === undefined || !this.#threads.includes(chosen)) queueMicrotask(() => done(ioError(new Error('its thread ended')), []));
    else chosen.submit(batch, done);
    return chosen;
  }

  /** A thread died, and the memory it held is gone. Another takes its place when the next layer begins. */
  lost(thread: Thread, blocks: number): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    this.#blocks -= blocks;
    for (let block = 0; block < blocks && this.#waiting.length > 0; block += 1) {
      this.#blocks += 1;
      this.#waiting.shift()?.(new ArrayBuffer(BATCH_BYTES));
    }
  }

  /** Ends the threads. No layer may be under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.splice(0).map(async (thread) => thread.end()));
  }
}

interface Pending {
  readonly done: BatchDone;
  readonly bytes: number;
}

/** One thread of the pool. */
export class Thread {
  readonly #pool: WorkerPool;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  load = 0;

  constructor(pool: WorkerPool) {
    this.#pool = pool;
    // Flags of the process, such as --input-type or a profiler, are not for this thread.
    this.#worker = new Worker(new URL('./unpack-worker.js', import.meta.url), { execArgv: [] });
    // Before it is up, unref() has no lasting effect.
    this.#worker.once('online', () => {
      if (this.#pending.size === 0) this.#worker.unref();
    });
    this.#worker.on('message', (reply: BatchReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread ended')));
  }

  submit(batch: Omit<BatchMessage, 'id'>, done: BatchDone): void {
    const id = this.#nextId++;
    if (this.#pending.size === 0) this.#worker.ref();
    this.#pending.set(id, { done, bytes: weightOf(batch) });
    this.load += weightOf(batch);
    this.#worker.postMessage({ ...batch, id } satisfies BatchMessage, batch.memory === undefined ? [] : [batch.memory]);
  }

  /**
   * A thread that is ended while it loads native code takes the whole process with it ("FATAL ERROR: napi_throw"), so it may load first: it has
   * when it answers. Layer 0 is nobody's.
   */
  async end(): Promise<void> {
    await new Promise<void>((resolve) => this.submit({ layer: 0, target: '', memory: undefined, length: 0 }, () => resolve()));
    this.#worker.removeAllListeners('exit');
    await this.#worker.terminate();
  }

  #settle({ id, memory, warnings, error }: BatchReply): void {
    const pending = this.#take(id);
    this.#pool.release(memory);
    pending?.done(error === undefined ? undefined : ioError(Object.assign(new Error(error.message), error)), warnings);
  }

  #fail(cause: Error): void {
    this.#pool.lost(this, this.#pending.size);
    for (const id of this.#pending.keys()) this.#take(id)?.done(ioError(cause), []);
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.load -= pending?.bytes ?? 0;
    if (this.#pending.size === 0) this.#worker.unref();
    return pending;
  }
}

/** Making a file costs about as much as writing 64 KiB. A batch has up to 256. */
function weightOf({ length }: { readonly length: number }): number {
  return length + 1024 * 1024;
}

function ioError(cause: NodeJS.ErrnoException): RootwrightError {
  return new RootwrightError('IO_ERROR', `cannot write the layer: ${cause.message}`, { cause, details: { errno: cause.code, path: cause.path } });
}
