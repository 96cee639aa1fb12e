import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { RootwrightError } from '../../../src/errors.ts';
import type { UnpackLayerRequest, Unpacker } from '../../../src/stores/docker/store-context.ts';

/** Unpacks gzip and plain layers with GNU tar, in one form only, and tells of each call: for tests of what the store does around it. */
export class StandInUnpacker implements Unpacker {
  readonly requests: UnpackLayerRequest[] = [];
  closed = false;
  readonly #before: (request: UnpackLayerRequest, signal: AbortSignal | undefined) => Promise<void>;

  /** `before` runs before anything is unpacked; what it throws is what the call fails with. */
  constructor(before: (request: UnpackLayerRequest, signal: AbortSignal | undefined) => Promise<void> = () => Promise.resolve()) {
    this.#before = before;
  }

  async unpack(request: UnpackLayerRequest, signal?: AbortSignal): Promise<{ entries: number; bytes: number }> {
    this.requests.push(request);
    mkdirSync(request.target);
    await this.#before(request, signal);
    const { path, offset, size } = request.source;
    const packed = readFileSync(path).subarray(offset, offset + size);
    if (request.digest !== undefined) verify(packed, request.digest);
    const tar = request.mediaType.endsWith('gzip') ? gunzipSync(packed) : packed;
    verify(tar, request.diffId);
    const result = spawnSync('tar', ['-xf', '-', '-C', request.target], { input: tar });
    if (result.status !== 0) throw new RootwrightError('LAYER_INVALID', result.stderr.toString());
    request.onBytes?.(size);
    return { entries: spawnSync('tar', ['-tf', '-'], { input: tar }).stdout.toString().trim().split('\n').length, bytes: tar.length };
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

function verify(bytes: Buffer, expected: string): void {
  const [algorithm = ''] = expected.split(':');
  const found = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  if (found !== expected) throw new RootwrightError('DIGEST_MISMATCH', `${found} where ${expected} is expected`, { details: { expected, found } });
}
