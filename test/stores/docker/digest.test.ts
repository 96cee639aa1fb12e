import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, digestOfRegion, findDigest, parseDigest, readRegion } from '../../../src/stores/docker/digest.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const SHA256_OF_ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

describe('a digest', () => {
  it('is taken of bytes', () => {
    expect(digestOf('abc')).toBe(SHA256_OF_ABC);
    expect(digestOf('abc', 'sha512')).toMatch(/^sha512:ddaf35a193617aba[0-9a-f]{112}$/);
  });

  it('is parsed where it is one of the two kinds', () => {
    expect(parseDigest(SHA256_OF_ABC, 'here')).toBe(SHA256_OF_ABC);
    expect(parseDigest(`sha512:${'0'.repeat(128)}`, 'here')).toMatch(/^sha512:/);
  });

  it.each([
    ['', 'IMAGE_INVALID'],
    ['sha256:abc', 'IMAGE_INVALID'],
    [SHA256_OF_ABC.toUpperCase(), 'IMAGE_INVALID'],
    [`${SHA256_OF_ABC}0`, 'IMAGE_INVALID'],
    ['sha256:../../../../../../../../../../../../../../../../../../../../../etc', 'IMAGE_INVALID'],
    ['blake3:00', 'IMAGE_UNSUPPORTED'],
  ])('%j is refused with %s, and the place named', (text, code) => {
    expect(findDigest(text)).toBeUndefined();
    expect(() => parseDigest(text, 'the place')).toThrow(expect.objectContaining({ code, message: expect.stringContaining('the place') }));
  });
});

describe('a region of a file', () => {
  function file(content: string): string {
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, content);
    return path;
  }

  it('is read and hashed alone, whatever lies around it', async () => {
    const region = { path: file('xxabcyy'), offset: 2, size: 3 };
    expect(await readRegion(region, 3, digestOf('abc'))).toEqual(Buffer.from('abc'));
    expect(await digestOfRegion(region, 'sha256')).toBe(SHA256_OF_ABC);
    expect(await readRegion({ ...region, size: 0 }, 3)).toHaveLength(0);
  });

  it('of more bytes than allowed is not read', async () => {
    await expect(readRegion({ path: '/no/such', offset: 0, size: 4 }, 3)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { found: 4, limit: 3 },
    });
  });

  it('that has another content is not handed out', async () => {
    const expected = digestOf('abc');
    await expect(readRegion({ path: file('abd'), offset: 0, size: 3 }, 3, expected)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      details: { expected, found: digestOf('abd') },
    });
  });

  it('that the file is too short for is refused', async () => {
    const region = { path: file('ab'), offset: 0, size: 3 };
    await expect(readRegion(region, 3)).rejects.toMatchObject({ code: 'IMAGE_INVALID', details: { expected: 3, found: 2 } });
    await expect(digestOfRegion(region, 'sha256')).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('of what is no regular file is refused, without waiting for a writer', async () => {
    const directory = temporaryDirectory();
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    mkdirSync(join(directory, 'directory'));
    await expect(readRegion({ path: join(directory, 'fifo'), offset: 0, size: 1 }, 3)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    await expect(readRegion({ path: join(directory, 'directory'), offset: 0, size: 1 }, 3)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    await expect(readRegion({ path: join(directory, 'none'), offset: 0, size: 1 }, 3)).rejects.toMatchObject({
      code: 'IO_ERROR',
      details: { errno: 'ENOENT' },
    });
  });

  it('is hashed no further once that is aborted', async () => {
    await expect(digestOfRegion({ path: file('abc'), offset: 0, size: 3 }, 'sha256', AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
