import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { ZlibOptions } from 'node:zlib';
import { isRootwrightError, RootwrightError } from '../../errors.ts';
import { FilterError, openFilter } from '../../linux/filter.ts';

/**
 * Unpacks zstd: by node:zlib (since Node 22.15) with `options`, else by the program zstd where there is one, else in JavaScript, which takes
 * some ten times as long and works on this thread. A stream has any number of frames. Fails with LAYER_INVALID where it is truncated,
 * damaged or followed by other bytes, and with what `blob` fails with. Node 22 does not tell a truncated stream from a whole one: there it is
 * the layer's digest that does not match.
 */
export async function* unpackZstd(blob: AsyncIterable<Buffer>, options: ZlibOptions): AsyncGenerator<Buffer> {
  if (createZstdDecompress !== undefined) {
    yield* unpackFrames(blob, () => createZstdDecompress(options));
    return;
  }
  const program = await openFilter('zstd', ['-d', '-c', '-q'], blob);
  if (program === undefined) {
    yield* unpackZstdInJavaScript(blob);
    return;
  }
  try {
    yield* program;
  } catch (error) {
    throw damaged(error);
  }
}

type ZstdStream = Transform & { readonly bytesWritten: number };

const createZstdDecompress = (zlib as { createZstdDecompress?: (options: ZlibOptions) => ZstdStream }).createZstdDecompress;

/**
 * node:zlib ends with a frame when more input follows it in the same chunk (gzip members it joins itself), so what it left goes to a new
 * stream.
 */
async function* unpackFrames(blob: AsyncIterable<Buffer>, create: () => ZstdStream): AsyncGenerator<Buffer> {
  let frames: FrameReader | undefined;
  try {
    for await (const chunk of blob) {
      for (let input = chunk; input.length > 0; ) {
        frames ??= new FrameReader(create());
        yield* frames.take(input);
        if (!frames.ended) break;
        if (frames.consumed === 0) throw damaged(new Error('no frame begins here'));
        input = input.subarray(frames.consumed);
        frames.close();
        frames = undefined;
      }
    }
    if (frames !== undefined) yield* frames.take(undefined);
  } finally {
    frames?.close();
  }
}

/** Gives a stream one piece of input at a time, and takes all that comes of it. */
class FrameReader {
  readonly #stream: ZstdStream;
  #error: Error | undefined;
  #wake: () => void = () => undefined;
  /** The stream takes no more input. */
  ended = false;
  /** Bytes of the last piece that it took. */
  consumed = 0;

  constructor(stream: ZstdStream) {
    this.#stream = stream;
    stream.on('readable', () => this.#wake());
    stream.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    stream.on('error', (error) => {
      this.#error = error;
      this.#wake();
    });
  }

  /** The output of `input`; of the end of all input where that is undefined. */
  async *take(input: Buffer | undefined): AsyncGenerator<Buffer> {
    const before = this.#stream.bytesWritten;
    let written = false;
    if (input === undefined) this.#stream.end();
    else
      this.#stream.write(input, () => {
        written = true;
        this.#wake();
      });
    for (;;) {
      if (this.#error !== undefined) throw damaged(this.#error);
      const output = this.#stream.read() as Buffer | null;
      if (output !== null) yield output;
      else if (written || this.ended) break;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
    this.consumed = this.#stream.bytesWritten - before;
    // It says so only when everything was read, which may be after it has let go of the input.
    if (input !== undefined && this.consumed < input.length) this.ended = true;
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** {@link unpackZstd} by fzstd. */
export async function* unpackZstdInJavaScript(blob: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { Decompress } = await import('fzstd');
  const output: Buffer[] = [];
  const stream = new Decompress((chunk) => {
    if (chunk.length > 0) output.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  });
  const push = (chunk: Uint8Array, last: boolean): void => {
    try {
      stream.push(chunk, last);
    } catch (error) {
      throw damaged(error);
    }
  };
  for await (const chunk of blob) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      push(chunk.subarray(at, at + PIECE_BYTES), false);
      yield* output.splice(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  push(new Uint8Array(0), true);
  yield* output.splice(0);
}

/** Small pieces bound what one push can unpack to. */
const PIECE_BYTES = 64 * 1024;

function damaged(error: unknown): RootwrightError {
  if (isRootwrightError(error)) return error;
  if (error instanceof FilterError && error.exitCode === undefined) return new RootwrightError('IO_ERROR', error.message, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  return new RootwrightError('LAYER_INVALID', `the layer's zstd stream is damaged or truncated: ${reason}`, { cause: error });
}
