import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { chooseCompression, decompress } from '../../../src/stores/layers/decompress.ts';
import { unpackZstdInJavaScript } from '../../../src/stores/layers/zstd.ts';
import { describeWith } from '../../support/requirements.ts';
import { TAR } from './support/unpack-archive.ts';

const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });

async function* pieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

async function unpacked(bytes: Buffer, mediaType: string, pieceBytes = 100_000): Promise<Buffer> {
  const { chunks } = await decompress(pieces(bytes, pieceBytes), mediaType, bytes.length);
  return collect(chunks);
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

/** Half of it packs well. */
const content = Buffer.concat([randomBytes(1_500_000), Buffer.alloc(1_500_000, 'layer ')]);

describe('chooseCompression', () => {
  const gzip = Buffer.from('1f8b0800', 'hex');
  const zstd = Buffer.from('28b52ffd', 'hex');
  const tar = Buffer.from('file');

  it.each([
    ['application/vnd.oci.image.layer.v1.tar', tar, 'none'],
    ['application/vnd.oci.image.layer.v1.tar+gzip', gzip, 'gzip'],
    ['application/vnd.oci.image.layer.v1.tar+zstd', zstd, 'zstd'],
    ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', gzip, 'gzip'],
    ['application/vnd.docker.image.rootfs.diff.tar', tar, 'none'],
    ['application/vnd.docker.image.rootfs.diff.tar.gzip', gzip, 'gzip'],
    ['application/vnd.docker.image.rootfs.diff.tar.zstd', zstd, 'zstd'],
    ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', gzip, 'gzip'],
    // A docker-archive says nothing of how its layers are packed.
    ['application/vnd.docker.image.rootfs.diff.tar', gzip, 'gzip'],
    ['application/x-tar', zstd, 'zstd'],
    ['application/octet-stream', gzip, 'gzip'],
    ['', tar, 'none'],
    // A skippable frame may come first.
    ['application/vnd.oci.image.layer.v1.tar+zstd', Buffer.from('5e2a4d18', 'hex'), 'zstd'],
    ['', Buffer.alloc(0), 'none'],
  ])('%s with these first bytes', (mediaType, head, compression) => {
    expect(chooseCompression(mediaType, head)).toBe(compression);
  });

  it('refuses bytes that are not what the media type says', () => {
    expect(() => chooseCompression('application/vnd.oci.image.layer.v1.tar+gzip', tar)).toThrowError(invalid);
    expect(() => chooseCompression('application/vnd.oci.image.layer.v1.tar+zstd', gzip)).toThrowError(invalid);
  });

  it.each([
    ['application/vnd.oci.image.layer.v1.tar+encrypted', tar],
    ['application/vnd.oci.image.config.v1+json', tar],
    ['application/vnd.oci.image.layer.v1.squashfs', tar],
    [TAR, Buffer.from('BZh91AY')],
    [TAR, Buffer.from('fd377a585a00', 'hex')],
  ])('IMAGE_UNSUPPORTED: %s', (mediaType, head) => {
    expect(() => chooseCompression(mediaType, head)).toThrowError(expect.objectContaining({ code: 'IMAGE_UNSUPPORTED' }));
  });
});

describe('gzip', () => {
  const type = `${TAR}+gzip`;

  it('gives back what was packed, in pieces of any size', async () => {
    const packed = gzipSync(content);
    for (const pieceBytes of [1000, 65_536, packed.length]) expect((await unpacked(packed, type, pieceBytes)).equals(content)).toBe(true);
    const small = gzipSync(content.subarray(0, 5000));
    expect((await unpacked(small, '', 1)).equals(content.subarray(0, 5000))).toBe(true);
  });

  it('of several members', async () => {
    const packed = Buffer.concat([gzipSync(content.subarray(0, 1_000_001)), gzipSync(Buffer.alloc(0)), gzipSync(content.subarray(1_000_001))]);
    for (const pieceBytes of [10_000, packed.length]) expect((await unpacked(packed, type, pieceBytes)).equals(content)).toBe(true);
  });

  it.each([1, 8, 9, 1000, 100_000])('without its last %d bytes is LAYER_INVALID', async (missing) => {
    const packed = gzipSync(content);
    await expect(unpacked(packed.subarray(0, packed.length - missing), type)).rejects.toThrowError(invalid);
  });

  it('with a flipped bit is LAYER_INVALID', async () => {
    const packed = gzipSync(content);
    packed[packed.length >> 1] = (packed[packed.length >> 1] ?? 0) ^ 4;
    await expect(unpacked(packed, type)).rejects.toThrowError(invalid);
  });

  it.each([['garbage'], ['\0'], ['\0\0\0garbage'], ['\x1f\x8b']])(
    'followed by %j is LAYER_INVALID, in the same piece or a later one',
    async (tail) => {
      const packed = gzipSync(content);
      const whole = Buffer.concat([packed, Buffer.from(tail, 'latin1')]);
      await expect(unpacked(whole, type, whole.length)).rejects.toThrowError(invalid);
      await expect(unpacked(whole, type, packed.length)).rejects.toThrowError(invalid);
    },
  );

  it('that unpacks to more than its limit is LIMIT_EXCEEDED', async () => {
    // gzip itself stops at 1032 to 1, so the blob's size is what tells a lie here.
    const packed = gzipSync(Buffer.alloc(300 * 1024 * 1024));
    const { chunks } = await decompress(pieces(packed, 1_000_000), type, 1000);
    await expect(collect(chunks)).rejects.toThrowError(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });

  it("gives the blob's own error, and closes the blob when it is left early", async () => {
    const closed: string[] = [];
    const failing = async function* (): AsyncGenerator<Buffer> {
      try {
        yield gzipSync(content).subarray(0, 1000);
        throw new RangeError('the disk is gone');
      } finally {
        closed.push('failing');
      }
    };
    const { chunks } = await decompress(failing(), type, 1000);
    await expect(collect(chunks)).rejects.toThrowError('the disk is gone');
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield gzipSync(content);
      } finally {
        closed.push('endless');
      }
    };
    for await (const chunk of (await decompress(endless(), type, 1e9)).chunks) if (chunk.length > 0) break;
    expect(closed).toEqual(['failing', 'endless']);
  });
});

describeWith(['zstd'], 'zstd', () => {
  const type = `${TAR}+zstd`;
  const zstd = (...parts: Buffer[]): Buffer => Buffer.concat(parts.map((input) => spawnSync('zstd', ['-q', '-c'], { input, maxBuffer: 1e8 }).stdout));
  const packed = zstd(content);

  const ways: Array<[string, (bytes: Buffer, pieceBytes: number) => Promise<Buffer>]> = [
    ['by the best way here', async (bytes, pieceBytes) => unpacked(bytes, type, pieceBytes)],
    ['in JavaScript', async (bytes, pieceBytes) => collect(unpackZstdInJavaScript(pieces(bytes, pieceBytes)))],
  ];

  it.each(ways)('%s gives back what was packed', async (_, unpackAll) => {
    for (const pieceBytes of [10_000, packed.length]) expect((await unpackAll(packed, pieceBytes)).equals(content)).toBe(true);
  });

  it.each(ways)('%s takes several frames, skippable ones too', async (_, unpackAll) => {
    const skippable = Buffer.from('5e2a4d1803000000616263', 'hex');
    const frames = Buffer.concat([skippable, zstd(content.subarray(0, 1_000_001), content.subarray(1_000_001)), skippable]);
    for (const pieceBytes of [10_000, frames.length]) expect((await unpackAll(frames, pieceBytes)).equals(content)).toBe(true);
  });

  it.each(ways)('%s refuses one that is truncated, damaged or followed by garbage', async (_, unpackAll) => {
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, packed.length - 100);
    // node:zlib of Node 22 takes the end of its input for the end of the frame: there the digests of the layer tell
    const truncated = process.versions.node.startsWith('22.') ? [] : [packed.subarray(0, -1), packed.subarray(0, 1_000_000)];
    for (const bytes of [...truncated, damaged, Buffer.concat([packed, Buffer.from('garbage')])])
      await expect(unpackAll(bytes, 100_000)).rejects.toThrowError(invalid);
  });
});
