import { createHash } from 'node:crypto';
import { chmodSync, lchownSync, lstatSync, mkdirSync } from 'node:fs';
import { isRootwrightError, RootwrightError, throwIfAborted } from '../../errors.ts';
import type { Kernel } from '../../linux/kernel.ts';
import { removeTree } from '../../linux/remove-tree.ts';
import type { LayerForm } from '../../paths/docker-store.ts';
import { BatchQueue, type Process } from './batch-queue.ts';
import { BlobReader, type BlobSource } from './blob.ts';
import { decompress } from './decompress.ts';
import { LayerWriter } from './layer-writer.ts';
import { TarReader } from './reader.ts';
import { WorkerPool } from './worker-pool.ts';

export interface UnpackRequest {
  readonly source: BlobSource;
  readonly mediaType: string;
  /** Of the blob's bytes, as they are stored: 'sha256:…'. undefined where no manifest tells it (docker-archive). */
  readonly digest?: string | undefined;
  /** Of the tar archive. */
  readonly diffId: string;
  readonly form: LayerForm;
  /** An absolute path that does not exist; its parent does. */
  readonly target: string;
  /** Told of the progress, in bytes of the blob. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

export interface UnpackedLayer {
  readonly entries: number;
  /** Of the tar archive. */
  readonly bytes: number;
  /** Extended attributes that the target's file system has no place for, or that only root may set; at most 100 are told. */
  readonly warnings: readonly string[];
}

/**
 * Unpacks layers, any number at once, on a few threads that they share.
 *
 * The caller's thread reads, hashes and parses, node:zlib's threads inflate, and the pool's threads make the files.
 *
 * @example
 * const unpacker = new LayerUnpacker({ kernel });
 * await unpacker.unpack({ source: { path: blob, size }, mediaType, digest, diffId, form: 'overlay', target: '/staging/1/layer' }, signal);
 * await unpacker.close();
 */
export class LayerUnpacker {
  readonly #kernel: Kernel;
  readonly #pool: WorkerPool;
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  /** `threads` make files; two keep up with the fastest blobs. */
  constructor(options: { readonly kernel: Kernel; readonly threads?: number | undefined }) {
    this.#kernel = options.kernel;
    this.#pool = new WorkerPool(options.threads ?? 2);
  }

  /**
   * Unpacks one layer into `target`. Success means that every byte was checked against digest and diff id, and that the tree is complete
   * but not yet synced to disk. After a failure `target` does not exist. Fails with LAYER_INVALID, LAYER_UNSAFE, LIMIT_EXCEEDED,
   * DIGEST_MISMATCH, IMAGE_UNSUPPORTED, IO_ERROR, ENGINE_CLOSED; with ABORTED once no thread works on it any more.
   *
   * A process that is not root keeps everything for itself: owners are not set, devices become empty files, and of attributes those that it
   * may not set are told as warnings. The overlay form needs root.
   */
  async unpack(request: UnpackRequest, signal?: AbortSignal): Promise<UnpackedLayer> {
    if (this.#closed) throw new RootwrightError('ENGINE_CLOSED', 'the layer unpacker has been closed');
    throwIfAborted(signal, 'unpacking a layer');
    const running = this.#unpack(request, signal);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Waits for the layers under way, then ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
    await this.#pool.close();
  }

  async #unpack(request: UnpackRequest, signal: AbortSignal | undefined): Promise<UnpackedLayer> {
    const { target, form } = request;
    const blob = new BlobReader(request.source, algorithmOf(request.digest ?? request.diffId), request.onBytes, signal);
    const diffAlgorithm = algorithmOf(request.diffId);
    const process = describeProcess();
    makeTarget(target, process);
    const layer = this.#pool.enter();
    const queue = new BatchQueue(this.#pool, layer, target, process);
    try {
      const writer = new LayerWriter({ kernel: this.#kernel, queue, process, target, form });
      const { bytes } = await this.#fill({ request, blob, diffAlgorithm, writer, queue, signal });
      return { entries: writer.entries, bytes, warnings: queue.warnings };
    } catch (error) {
      await queue.discard();
      await removeTree(this.#kernel, target);
      throw asLayerFailure(error, target);
    } finally {
      this.#pool.leave();
    }
  }

  async #fill(work: Work): Promise<{ bytes: number }> {
    const { request, blob, writer, queue, signal } = work;
    const reader = new TarReader();
    const hash = createHash(work.diffAlgorithm);
    let bytes = 0;
    let packed: boolean;
    try {
      const { compression, chunks } = await decompress(blob.chunks(), request.mediaType, request.source.size);
      packed = compression !== 'none' || algorithmOf(request.digest ?? request.diffId) !== work.diffAlgorithm;
      for await (const chunk of chunks) {
        throwIfAborted(signal, 'unpacking a layer');
        queue.check();
        if (packed) hash.update(chunk);
        bytes += chunk.length;
        reader.add(chunk);
        for (let event = reader.next(); event !== undefined; event = reader.next()) {
          const waiting =
            event === 'entry' ? writer.entry(reader.entry) : writer.content(chunk, reader.contentStart, reader.contentEnd, reader.contentOffset);
          if (waiting !== undefined) await waiting;
        }
      }
      reader.finish();
    } catch (error) {
      await preferMismatch(error, blob, request);
      throw error;
    }
    const found = blob.digest();
    if (request.digest !== undefined) verify(found, request.digest, 'blob', request);
    verify(packed ? hash.digest('hex') : found, request.diffId, 'tar archive', request);
    await writer.finish(() => throwIfAborted(signal, 'unpacking a layer'));
    queue.release();
    return { bytes };
  }
}

interface Work {
  readonly request: UnpackRequest;
  readonly blob: BlobReader;
  readonly diffAlgorithm: string;
  readonly writer: LayerWriter;
  readonly queue: BatchQueue;
  readonly signal: AbortSignal | undefined;
}

/** What is wrong with the layer's content may come of a damaged blob, and then that is what to say. */
async function preferMismatch(error: unknown, blob: BlobReader, request: UnpackRequest): Promise<void> {
  if (request.digest === undefined || !isRootwrightError(error) || (error.code !== 'LAYER_INVALID' && error.code !== 'LAYER_UNSAFE')) return;
  await blob.drain();
  verify(blob.digest(), request.digest, 'blob', request, error);
}

function verify(found: string, expected: string, what: string, { source }: UnpackRequest, cause?: unknown): void {
  const algorithm = algorithmOf(expected);
  if (`${algorithm}:${found}` === expected) return;
  throw new RootwrightError(
    'DIGEST_MISMATCH',
    `${source.path}: the layer's ${what} has the digest ${algorithm}:${found} where ${expected} is expected; the image is damaged`,
    {
      cause,
      details: { path: source.path, expected, found: `${algorithm}:${found}` },
    },
  );
}

function algorithmOf(digest: string): string {
  const algorithm = digest.slice(0, Math.max(digest.indexOf(':'), 0));
  if (algorithm === 'sha256' || algorithm === 'sha512') return algorithm;
  throw new RootwrightError('IMAGE_UNSUPPORTED', `the digest ${JSON.stringify(digest)} is none of sha256 and sha512`, { details: { digest } });
}

function describeProcess(): Process {
  const uid = process.geteuid?.() ?? 0;
  return { uid, gid: process.getegid?.() ?? 0, umask: process.umask(), privileged: uid === 0 };
}

/** A parent with set-group-id would hand its group, and the bit itself, down to everything in the layer. */
function makeTarget(target: string, { gid, uid }: Process): void {
  try {
    mkdirSync(target, 0o755);
    const found = lstatSync(target);
    if (found.gid !== gid) lchownSync(target, uid, gid);
    if ((found.mode & 0o7000) !== 0) chmodSync(target, found.mode & 0o777);
  } catch (error) {
    throw asLayerFailure(error, target);
  }
}

function asLayerFailure(error: unknown, target: string): unknown {
  if (isRootwrightError(error) || typeof (error as NodeJS.ErrnoException).code !== 'string') return error;
  const { message, code, path } = error as NodeJS.ErrnoException;
  return new RootwrightError('IO_ERROR', `cannot write the layer: ${message}`, { cause: error, details: { errno: code, path: path ?? target } });
}
