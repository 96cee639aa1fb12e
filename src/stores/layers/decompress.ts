import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { isRootwrightError, RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { unpackZstd } from './zstd.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** Bytes per turn: with node:zlib's own default of 16 KiB a layer takes three times as long, and past this the second-level cache is too small. */
export const CHUNK_BYTES = 256 * 1024;

/** The tar bytes of a layer, and how its blob is packed. */
export interface Unpacked {
  readonly compression: Compression;
  readonly chunks: AsyncGenerator<Buffer>;
}

/**
 * The tar bytes of a layer's blob. `blob` comes in any pieces, `size` bytes in all. A stream that is truncated, damaged, or followed by
 * anything fails with LAYER_INVALID; a bomb with LIMIT_EXCEEDED; a media type or packing that is none of a layer with IMAGE_UNSUPPORTED;
 * what `blob` fails with comes through. Leaving the iteration early ends all work.
 */
export async function decompress(blob: AsyncIterable<Buffer>, mediaType: string, size: number): Promise<Unpacked> {
  const pieces = blob[Symbol.asyncIterator]();
  try {
    const head = await peek(pieces);
    const compression = chooseCompression(mediaType, head);
    return { compression, chunks: limit(unpack(startingWith(head, pieces), compression), size) };
  } catch (error) {
    await pieces.return?.();
    throw error;
  }
}

/**
 * How a blob is packed. A media type that names gzip or zstd must be true; where it says plain tar or nothing in particular the first
 * bytes tell, since docker archives hold layers of either kind under one name. Fails with IMAGE_UNSUPPORTED, LAYER_INVALID.
 */
export function chooseCompression(mediaType: string, head: Uint8Array): Compression {
  const found = compressionOf(head);
  const named = namedCompression(mediaType);
  if (found === 'unsupported')
    throw new RootwrightError('IMAGE_UNSUPPORTED', `the layer (${mediaType}) is packed with bzip2 or xz; gzip, zstd and plain tar are known`);
  if (named !== 'none' && named !== found)
    throw new RootwrightError('LAYER_INVALID', `the layer's media type is ${mediaType}, its bytes are not ${named}`, {
      details: { mediaType, found },
    });
  return found;
}

/** By the suffix that OCI and Docker media types share. */
function namedCompression(mediaType: string): Compression {
  if (GENERIC.has(mediaType)) return 'none';
  const match = /[./-](?:tar|x-tar)(?:[+.](gzip|zstd))?$/.exec(mediaType);
  if (match === null)
    throw new RootwrightError('IMAGE_UNSUPPORTED', `the media type ${JSON.stringify(mediaType)} is none of a layer`, { details: { mediaType } });
  return (match[1] as Compression | undefined) ?? 'none';
}

const GENERIC: ReadonlySet<string> = new Set(['', 'application/octet-stream', 'application/gzip', 'application/x-gzip', 'application/zstd']);

/** By magic numbers: RFC 1952; RFC 8878, frames and skippable frames. */
function compressionOf(head: Uint8Array): Compression | 'unsupported' {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return 'gzip';
  if (b === 0xb5 && a === 0x28 && c === 0x2f && d === 0xfd) return 'zstd';
  if (b === 0x2a && c === 0x4d && d === 0x18 && a !== undefined && a >= 0x50 && a <= 0x5f) return 'zstd';
  const bzip2 = a === 0x42 && b === 0x5a && c === 0x68 && d !== undefined && d >= 0x31 && d <= 0x39;
  const xz = a === 0xfd && b === 0x37 && c === 0x7a && d === 0x58;
  return bzip2 || xz ? 'unsupported' : 'none';
}

/** Enough bytes to tell the packing by, where there are as many. */
async function peek(pieces: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await pieces.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

async function* startingWith(head: Buffer, pieces: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    if (head.length > 0) yield head;
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  } finally {
    await pieces.return?.();
  }
}

function unpack(blob: AsyncGenerator<Buffer>, compression: Compression): AsyncGenerator<Buffer> {
  if (compression === 'none') return blob;
  return compression === 'gzip' ? unpackGzip(blob) : unpackZstd(blob, { chunkSize: CHUNK_BYTES, ...QUEUES });
}

/**
 * A few chunks may wait on both sides, so that the pool's thread inflates while this thread hashes and parses. In object mode they come out
 * one by one; else node:stream would copy those that wait into one.
 */
const QUEUES = { writableHighWaterMark: 4 * CHUNK_BYTES, readableHighWaterMark: 4, readableObjectMode: true };

/** All members: node:zlib goes on with the next one by itself. */
async function* unpackGzip(blob: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const stream = createGunzip({ chunkSize: CHUNK_BYTES, ...QUEUES });
  let fed = 0;
  let ended = false;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of blob) {
      fed += chunk.length;
      yield chunk;
    }
    ended = true;
  };
  // Its failure comes out of the stream too; where bytes follow the end of the stream it never settles by itself.
  const feeding = pipeline(counted(), stream).catch(() => undefined);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
    if (!ended || stream.bytesWritten !== fed) throw new RootwrightError('LAYER_INVALID', "the layer's gzip stream is followed by other bytes");
  } catch (error) {
    if (isRootwrightError(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RootwrightError('LAYER_INVALID', `the layer's gzip stream is damaged or truncated: ${reason}`, { cause: error });
  } finally {
    stream.destroy();
    await feeding;
  }
}

async function* limit(chunks: AsyncIterable<Buffer>, packedBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    checkLimits(bytes, packedBytes);
    yield chunk;
  }
}

function checkLimits(bytes: number, packedBytes: number): void {
  if (bytes > LIMITS.layerBytes)
    throw new RootwrightError('LIMIT_EXCEEDED', `the layer has more than ${LIMITS.layerBytes} bytes unpacked`, {
      details: { limit: LIMITS.layerBytes },
    });
  if (bytes > LIMITS.layerRatioFloorBytes && bytes > packedBytes * LIMITS.layerRatio)
    throw new RootwrightError('LIMIT_EXCEEDED', `the layer unpacks to more than ${LIMITS.layerRatio} times its size`, {
      details: { limit: LIMITS.layerRatio, packedBytes },
    });
}
