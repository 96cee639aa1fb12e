import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { RootwrightError, type ErrorCode, throwIfAborted } from '../../errors.ts';
import { asIoError } from './failures.ts';

/** `algorithm:hex` of some content. Made by {@link parseDigest}, {@link digestOf} and {@link digestOfRegion} only. */
export type Digest = string & { readonly '~digest': true };

export type DigestAlgorithm = 'sha256' | 'sha512';

/** A run of bytes in a file. */
export interface FileRegion {
  readonly path: string;
  /** In bytes from the start of the file. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
}

/** Checks a digest's form. `where` names the place that holds it, for the message. Fails with IMAGE_INVALID, and IMAGE_UNSUPPORTED for another algorithm than sha256 and sha512. */
export function parseDigest(text: string, where: string): Digest {
  const digest = findDigest(text);
  if (digest !== undefined) return digest;
  const known = /^(sha256|sha512):/.test(text);
  const code: ErrorCode = known || !/^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text) ? 'IMAGE_INVALID' : 'IMAGE_UNSUPPORTED';
  const why = code === 'IMAGE_INVALID' ? 'is no digest' : 'has an algorithm that is not supported; sha256 and sha512 are';
  throw new RootwrightError(code, `${where}: ${JSON.stringify(text.slice(0, 200))} ${why}`, { details: { digest: text.slice(0, 200) } });
}

/** `text` as a digest, undefined where it is none of sha256 or sha512. */
export function findDigest(text: string): Digest | undefined {
  return /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text) ? (text as Digest) : undefined;
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/**
 * The bytes of `region`, read whole into memory. With `expected` they are handed out only if they have that digest. Fails with
 * LIMIT_EXCEEDED above `limitBytes` (before a byte is read), IMAGE_INVALID where the file ends too early, DIGEST_MISMATCH, IO_ERROR.
 */
export async function readRegion(region: FileRegion, limitBytes: number, expected?: Digest): Promise<Buffer> {
  if (region.size > limitBytes)
    throw new RootwrightError('LIMIT_EXCEEDED', `${region.path}: ${region.size} bytes where at most ${limitBytes} are allowed`, {
      details: { path: region.path, found: region.size, limit: limitBytes },
    });
  const bytes = Buffer.allocUnsafe(region.size);
  await withFile(region.path, async (file) => {
    let done = 0;
    while (done < region.size) {
      const { bytesRead } = await file.read(bytes, done, region.size - done, region.offset + done);
      if (bytesRead === 0) throw tooShort(region, done);
      done += bytesRead;
    }
  });
  if (expected !== undefined) verifyDigest(digestOf(bytes, algorithmOf(expected)), expected, region.path);
  return bytes;
}

/** The digest of `region`: exactly that many bytes, no more, no fewer. Fails with IMAGE_INVALID where the file ends too early, IO_ERROR, ABORTED. */
export async function digestOfRegion(region: FileRegion, algorithm: DigestAlgorithm, signal?: AbortSignal): Promise<Digest> {
  const hash = createHash(algorithm);
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(region.size, 1)));
  await withFile(region.path, async (file) => {
    let done = 0;
    while (done < region.size) {
      throwIfAborted(signal, 'reading a layer');
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, region.size - done), region.offset + done);
      if (bytesRead === 0) throw tooShort(region, done);
      hash.update(chunk.subarray(0, bytesRead));
      done += bytesRead;
    }
  });
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}

/** Fails with DIGEST_MISMATCH where `found` is not `expected`. */
export function verifyDigest(found: Digest, expected: Digest, where: string): void {
  if (found === expected) return;
  throw new RootwrightError('DIGEST_MISMATCH', `${where}: the content has the digest ${found} where ${expected} is expected; the image is damaged`, {
    details: { path: where, expected, found },
  });
}

const CHUNK_BYTES = 1024 * 1024;

async function withFile(path: string, body: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    // O_NONBLOCK: a FIFO in place of a file must not hang the open; it is refused below.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) throw new RootwrightError('IMAGE_INVALID', `${path}: not a regular file`, { details: { path } });
      await body(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw asIoError(error, `cannot read ${path}`);
  }
}

function tooShort(region: FileRegion, done: number): RootwrightError {
  return new RootwrightError('IMAGE_INVALID', `${region.path}: ends after ${done} of ${region.size} bytes; the image is truncated`, {
    details: { path: region.path, expected: region.size, found: done },
  });
}
