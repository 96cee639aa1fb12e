import { isRootwrightError, RootwrightError } from '../../errors.ts';
import { FilterError, openFilter } from '../../linux/filter.ts';

/**
 * Unpacks zstd where node:zlib can't (before Node 22.15): by the program zstd where there is one, else in JavaScript, which takes some ten
 * times as long and works on this thread. Fails with LAYER_INVALID for a truncated or damaged stream, and with what `blob` fails with.
 */
export async function* unpackZstd(blob: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
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
