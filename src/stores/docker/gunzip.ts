import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Digest, FileRegion } from './digest.ts';
import { asIoError } from './failures.ts';

/** Decompresses a gzip file region into the new file `target`. Fails with IMAGE_INVALID, LIMIT_EXCEEDED, IO_ERROR, ABORTED. */
export async function gunzipToFile(region: FileRegion, target: string, signal?: AbortSignal): Promise<void> {
  await gunzip(region, createWriteStream(target, { flags: 'wx', highWaterMark: CHUNK_BYTES }), signal);
}

/** The SHA-256 of what a gzip file region decompresses to. Fails as {@link gunzipToFile} does. */
export async function digestOfGunzipped(region: FileRegion, signal?: AbortSignal): Promise<Digest> {
  const hash = createHash('sha256');
  await gunzip(region, hash, signal);
  return `sha256:${(hash.read() as Buffer).toString('hex')}` as Digest;
}

const CHUNK_BYTES = 1024 * 1024;

async function gunzip(region: FileRegion, target: Writable, signal: AbortSignal | undefined): Promise<void> {
  const source = createReadStream(region.path, { start: region.offset, end: region.offset + region.size - 1, highWaterMark: CHUNK_BYTES });
  const limitBytes = Math.min(LIMITS.layerBytes, Math.max(LIMITS.layerRatioFloorBytes, region.size * LIMITS.layerRatio));
  let bytes = 0;
  const limiter = new Transform({
    highWaterMark: CHUNK_BYTES,
    transform: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      if (bytes <= limitBytes) done(null, chunk);
      else
        done(
          new RootwrightError('LIMIT_EXCEEDED', `${region.path}: decompresses to more than ${limitBytes} bytes`, { details: { limit: limitBytes } }),
        );
    },
  });
  try {
    await pipeline(source, createGunzip({ chunkSize: CHUNK_BYTES }), limiter, target, signal === undefined ? {} : { signal });
  } catch (error) {
    throwIfAborted(signal, 'decompressing');
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_') === true)
      throw new RootwrightError('IMAGE_INVALID', `${region.path}: the gzip stream is damaged or truncated (${code})`, {
        cause: error,
        details: { path: region.path },
      });
    throw asIoError(error, `cannot decompress ${region.path}`);
  }
}
