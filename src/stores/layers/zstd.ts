import { RootwrightError } from '../../errors.ts';

/** Unpacks zstd where node:zlib can't, by fzstd (JavaScript). Fails with LAYER_INVALID for a truncated or damaged stream. */
export async function* unpackZstd(blob: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { Decompress } = await import('fzstd');
  const output: Buffer[] = [];
  const stream = new Decompress((chunk) => {
    if (chunk.length > 0) output.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  });
  const push = (chunk: Uint8Array, last: boolean): void => {
    try {
      stream.push(chunk, last);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RootwrightError('LAYER_INVALID', `the layer's zstd stream is damaged or truncated: ${reason}`, { cause: error });
    }
  };
  for await (const chunk of blob) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      push(chunk.subarray(at, at + PIECE_BYTES), false);
      yield* output.splice(0);
      // It works on this thread: let others have a turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  push(new Uint8Array(0), true);
  yield* output.splice(0);
}

/** Small pieces bound what one push can unpack to. */
const PIECE_BYTES = 64 * 1024;
