import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { CHUNK_BYTES } from './decompress.ts';

/** A blob: a whole file, or a region of one (a layer inside a docker-archive). */
export interface BlobSource {
  readonly path: string;
  /** In bytes; where it is given the file may go on behind the blob. */
  readonly offset?: number;
  /** In bytes. */
  readonly size: number;
}

/** Reads a blob once, from its first byte to its last, and hashes what it reads. */
export class BlobReader {
  readonly #source: BlobSource;
  readonly #hash: Hash;
  readonly #onBytes: ((bytes: number) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  #done = 0;

  constructor(source: BlobSource, algorithm: string, onBytes: ((bytes: number) => void) | undefined, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#hash = createHash(algorithm);
    this.#onBytes = onBytes;
    this.#signal = signal;
  }

  /**
   * The blob in order, from where an earlier iteration left off. Fails with DIGEST_MISMATCH where the file is shorter or longer than the
   * blob, IO_ERROR, ABORTED.
   */
  async *chunks(): AsyncGenerator<Buffer> {
    const { path, offset = 0, size } = this.#source;
    const file = await this.#open();
    try {
      if (this.#source.offset === undefined) {
        const found = (await file.stat()).size;
        if (found !== size) throw wrongSize(path, size, found);
      }
      while (this.#done < size) {
        throwIfAborted(this.#signal, 'unpacking a layer');
        const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, size - this.#done));
        const { bytesRead } = await file.read(chunk, 0, chunk.length, offset + this.#done);
        if (bytesRead === 0) throw wrongSize(path, size, this.#done);
        const bytes = chunk.subarray(0, bytesRead);
        this.#hash.update(bytes);
        this.#done += bytesRead;
        this.#onBytes?.(this.#done);
        yield bytes;
      }
    } finally {
      await file.close();
    }
  }

  /** Reads and hashes what is left. */
  async drain(): Promise<void> {
    for await (const _ of this.chunks()) continue;
  }

  /** The digest, once everything was read; in hexadecimal. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  async #open(): ReturnType<typeof open> {
    const { path } = this.#source;
    try {
      // O_NONBLOCK: a FIFO in place of the file must not hang the open.
      return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RootwrightError('IO_ERROR', `cannot read the layer's blob: ${reason}`, { cause: error, details: { path } });
    }
  }
}

function wrongSize(path: string, expected: number, found: number): RootwrightError {
  return new RootwrightError('DIGEST_MISMATCH', `${path}: ${found} bytes where the layer's blob has ${expected}; the image is damaged`, {
    details: { path, expected, found },
  });
}
