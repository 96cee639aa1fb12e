import { describe, expect, it } from 'vitest';
import type { TarEntry } from '../../../src/stores/layers/tar-entry.ts';
import { readArchive, readOne } from './support/read-archive.ts';
import { BLOCK, entryBytes, extensionBytes, headerBytes, paxPayload, tarOf } from './support/tar-writer.ts';

const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });
const beyondLimit = expect.objectContaining({ code: 'LIMIT_EXCEEDED' });
const entryOf = (archive: Buffer): TarEntry => readOne(archive).entry;

describe('TarReader: kinds of entries', () => {
  it.each([
    ['0', 'file'],
    ['\0', 'file'],
    ['7', 'file'],
    ['1', 'hardlink'],
    ['2', 'symlink'],
    ['3', 'character'],
    ['4', 'block'],
    ['5', 'directory'],
    ['6', 'fifo'],
  ])('type %j is a %s', (type, kind) => {
    expect(entryOf(tarOf({ name: 'a', type, linkName: 'b' })).kind).toBe(kind);
  });

  it.each(['0', '\0', '7'])('type %j with a slash at the end is a directory', (type) => {
    expect(entryOf(tarOf({ name: 'a/', type, magic: 'v7' })).kind).toBe('directory');
  });

  it.each(['8', 'V', 'M', 'D', 'A', 'z'])('type %j is refused', (type) => {
    expect(() => readArchive(tarOf({ name: 'a', type }))).toThrowError(/entry "a" at byte 0: an entry of unknown type/);
  });

  it('reads every field', () => {
    const spec = { name: 'dev', type: '3', mode: 0o6755, uid: 4_000_000_000, gid: 3_000_000, mtime: -5, devMajor: 1, devMinor: 3 };
    expect(entryOf(tarOf(spec))).toMatchObject({
      kind: 'character',
      path: 'dev',
      mode: 0o6755,
      uid: 4_000_000_000,
      gid: 3_000_000,
      modified: { seconds: -5, nanoseconds: 0 },
      deviceMajor: 1,
      deviceMinor: 3,
      size: 0,
    });
  });

  it.each(['1', '2', '3', '4', '5', '6'])('type %j has no content, whatever its size says', (type) => {
    const entries = readArchive(tarOf({ name: 'a', type, linkName: 'b', size: 5000 }, { name: 'next' }));
    expect(entries.map(({ entry }) => entry.path)).toEqual(['a', 'next']);
  });

  it('refuses ids that chown(2) has no room for', () => {
    expect(() => readArchive(tarOf({ name: 'a', uid: 0xffff_ffff }))).toThrowError(invalid);
    expect(() => readArchive(tarOf({ name: 'a', gid: -1 }))).toThrowError(invalid);
  });

  it('refuses a negative size', () => {
    expect(() => readArchive(tarOf({ name: 'a', size: -512 }))).toThrowError(invalid);
  });
});

describe('TarReader: extension headers', () => {
  it('PAX overrides the header', () => {
    const capability = Buffer.from('01000002000a20000000000000000000003d0a00', 'hex');
    const { entry, content } = readOne(
      tarOf({
        name: 'short',
        content: 'hello',
        size: 0,
        pax: [
          ['path', 'größe/日本語'],
          ['size', '5'],
          ['uid', '4294967294'],
          ['gid', '7'],
          ['mtime', '1700000000.123456789'],
          ['atime', '-0.5'],
          ['SCHILY.xattr.security.capability', capability],
        ],
      }),
    );
    expect(Buffer.from(entry.path, 'latin1').toString()).toBe('größe/日本語');
    expect(entry).toMatchObject({
      size: 5,
      uid: 4_294_967_294,
      gid: 7,
      modified: { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
      accessed: { seconds: -1, nanoseconds: 500_000_000 },
      xattrs: [{ name: 'security.capability', value: capability }],
    });
    expect(content.toString()).toBe('hello');
  });

  it('global PAX records hold for all that follows, own ones for one entry', () => {
    const archive = Buffer.concat([
      extensionBytes(
        'g',
        paxPayload([
          ['uid', '5'],
          ['comment', 'x'],
        ]),
      ),
      entryBytes({ name: 'a' }),
      entryBytes({ name: 'b', pax: [['uid', '6']] }),
      extensionBytes('g', paxPayload([['gid', '9']])),
      entryBytes({ name: 'c' }),
      extensionBytes('g', paxPayload([['uid', '']])),
      entryBytes({ name: 'd', uid: 1 }),
      extensionBytes('g', paxPayload([['comment', 'the last']])),
      tarOf(),
    ]);
    expect(readArchive(archive).map(({ entry }) => `${entry.path} ${entry.uid}:${entry.gid}`)).toEqual(['a 5:0', 'b 6:0', 'c 5:9', 'd 1:9']);
  });

  it('GNU long names and targets, of bytes that are no UTF-8', () => {
    const name = Buffer.concat([Buffer.from('d/'.repeat(100)), Buffer.from([0xff, 0xfe, 0x80])]);
    const target = Buffer.from('t'.repeat(3000));
    const nul = Buffer.from([0]);
    const archive = Buffer.concat([
      extensionBytes('K', Buffer.concat([target, nul])),
      extensionBytes('L', Buffer.concat([name, nul])),
      entryBytes({ name: 'cut', type: '2', linkName: 'cut', magic: 'gnu' }),
      tarOf({ name: 'next' }),
    ]);
    const entries = readArchive(archive);
    expect(entries.map(({ entry }) => entry.path)).toEqual([name.toString('latin1'), 'next']);
    expect(entries[0]?.entry).toMatchObject({ linkPath: target.toString(), offset: 0 });
  });

  it('refuses an extension header without an entry', () => {
    const extension = extensionBytes('x', paxPayload([['path', 'p']]));
    expect(() => readArchive(extension)).toThrowError(invalid);
    expect(() => readArchive(Buffer.concat([extension, tarOf()]))).toThrowError(invalid);
  });

  it('refuses huge ones before reading them, and many that are huge together', () => {
    const huge = headerBytes({ name: 'x', type: 'x', size: 2 ** 40 });
    expect(() => readArchive(huge)).toThrowError(beyondLimit);
    const long = extensionBytes('L', Buffer.alloc(600 * 1024, 'n'));
    expect(() => readArchive(Buffer.concat([long, long]))).toThrowError(beyondLimit);
    const global = (key: string): Buffer => extensionBytes('g', paxPayload([[key, Buffer.alloc(600 * 1024, 'v')]]));
    expect(() => readArchive(Buffer.concat([global('a'), global('b')]))).toThrowError(beyondLimit);
    expect(() => readArchive(Buffer.concat([global('a'), global('a'), tarOf()]))).not.toThrow();
    expect(() => readArchive(headerBytes({ name: 'x', type: 'x', size: -1 }))).toThrowError(invalid);
  });
});

describe('TarReader: sparse files', () => {
  const data = Buffer.from('0123456789');
  const expected = Buffer.concat([Buffer.alloc(4096), data.subarray(0, 6), Buffer.alloc(4090), data.subarray(6), Buffer.alloc(100)]);
  const map = [4096, 6, 8192, 4, expected.length, 0];

  it('GNU.sparse 0.0', () => {
    const pairs = Array.from(
      { length: map.length / 2 },
      (_, index): Array<[string, string]> => [
        ['GNU.sparse.offset', String(map[2 * index])],
        ['GNU.sparse.numbytes', String(map[2 * index + 1])],
      ],
    ).flat();
    const pax: Array<[string, string]> = [['GNU.sparse.size', String(expected.length)], ['GNU.sparse.numblocks', '3'], ...pairs];
    expect(readOne(tarOf({ name: 'f', content: data, pax })).content).toEqual(expected);
  });

  it('GNU.sparse 0.1, whose path is in GNU.sparse.name', () => {
    const pax: Array<[string, string]> = [
      ['path', 'GNUSparseFile.1/f'],
      ['GNU.sparse.name', 'f'],
      ['GNU.sparse.size', String(expected.length)],
      ['GNU.sparse.map', map.join(',')],
    ];
    const { entry, content } = readOne(tarOf({ name: 'x', content: data, pax }));
    expect([entry.path, entry.size, entry.stored]).toEqual(['f', expected.length, 10]);
    expect(content).toEqual(expected);
  });

  it('GNU.sparse 1.0, whose map begins the content', () => {
    const text = Buffer.from(`${map.length / 2}\n${map.join('\n')}\n`);
    const content = Buffer.concat([text, Buffer.alloc(BLOCK - text.length), data]);
    const pax: Array<[string, string]> = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', 'f'],
      ['GNU.sparse.realsize', String(expected.length)],
    ];
    for (const chunkBytes of [1, 100, 512, 4096]) {
      const [read] = readArchive(tarOf({ name: 'x', content, pax }, { name: 'next' }), chunkBytes);
      expect(read?.content).toEqual(expected);
    }
  });

  it('a map of many blocks, in 1.0 and in the old format', () => {
    const extents = Array.from({ length: 300 }, (_, index): [number, number] => [index * 4096, 1]);
    const stored = Buffer.from(extents.map((_, index) => index % 256));
    const full = Buffer.alloc(300 * 4096);
    for (const [index, [offset]] of extents.entries()) full[offset] = index % 256;
    const text = Buffer.from(`300\n${extents.flat().join('\n')}\n`);
    const padded = Buffer.concat([text, Buffer.alloc((BLOCK - (text.length % BLOCK)) % BLOCK), stored]);
    const pax: Array<[string, string]> = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.realsize', String(full.length)],
    ];
    expect(readOne(tarOf({ name: 'f', content: padded, pax })).content.equals(full)).toBe(true);
    expect(readOne(oldSparse(extents, full.length, stored)).content.equals(full)).toBe(true);
  });

  it('a file of nothing but a hole', () => {
    const { entry, content } = readOne(oldSparse([], 10_000, Buffer.alloc(0)));
    expect([entry.size, entry.stored, content.length]).toEqual([10_000, 0, 10_000]);
  });

  it.each([
    [
      'overlapping',
      [
        [0, 6],
        [5, 4],
      ],
      9,
    ],
    [
      'descending',
      [
        [100, 5],
        [0, 5],
      ],
      105,
    ],
    ['past the end', [[0, 10]], 9],
    ['less than stored', [[0, 9]], 10],
    ['more than stored', [[0, 11]], 11],
  ] as const)('refuses a map that is %s', (_, extents, size) => {
    expect(() => readOne(oldSparse(extents, size, data))).toThrowError(invalid);
    const pax: Array<[string, string]> = [
      ['GNU.sparse.size', String(size)],
      ['GNU.sparse.map', extents.flat().join(',')],
    ];
    expect(() => readOne(tarOf({ name: 'f', content: data, pax }))).toThrowError(invalid);
  });

  it('refuses a map longer than its content, and one that has no end', () => {
    const pax: Array<[string, string]> = [
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.realsize', '10'],
    ];
    expect(() => readOne(tarOf({ name: 'f', content: Buffer.alloc(BLOCK, '9\n'), pax }))).toThrowError(invalid);
    const endless = Buffer.alloc(3 * 1024 * 1024, '1000000000\n');
    expect(() => readOne(tarOf({ name: 'f', content: endless, pax }))).toThrowError(beyondLimit);
    expect(() => readOne(tarOf({ name: 'f', content: Buffer.alloc(BLOCK, 'x'), pax }))).toThrowError(invalid);
  });

  it('refuses versions that it does not know', () => {
    const pax: Array<[string, string]> = [
      ['GNU.sparse.major', '2'],
      ['GNU.sparse.realsize', '10'],
    ];
    expect(() => readOne(tarOf({ name: 'f', pax }))).toThrowError(/unknown version of GNU sparse/);
  });
});

describe('TarReader: ends', () => {
  const archive = tarOf({ name: 'a', content: 'x'.repeat(700) }, { name: 'b', pax: [['path', 'b2']], content: 'y' });

  it('takes two blocks of zeros, one, or none at a block boundary, and anything behind two', () => {
    const names = (bytes: Buffer): string[] => readArchive(bytes).map(({ entry }) => entry.path);
    for (const cut of [0, BLOCK, 2 * BLOCK]) expect(names(archive.subarray(0, archive.length - cut))).toEqual(['a', 'b2']);
    expect(names(Buffer.concat([archive, Buffer.from('trailing garbage of any length')]))).toEqual(['a', 'b2']);
    expect(names(Buffer.alloc(0))).toEqual([]);
  });

  it('refuses an entry behind a single block of zeros', () => {
    const bytes = Buffer.concat([Buffer.alloc(BLOCK), archive]);
    expect(() => readArchive(bytes)).toThrowError(/at byte 512: an entry behind a block of zeros/);
  });

  it('says LAYER_INVALID wherever a header or content is cut off', () => {
    const whole = archive.length - 2 * BLOCK;
    const boundaries = new Set([0, 3 * BLOCK, whole]);
    for (let length = 0; length < whole; length += 128) {
      if (boundaries.has(length)) expect(() => readArchive(archive.subarray(0, length))).not.toThrow();
      else expect(() => readArchive(archive.subarray(0, length)), `cut at ${length}`).toThrowError(invalid);
    }
  });

  it('reads the same in chunks of any size', () => {
    const whole = readArchive(archive);
    for (const chunkBytes of [1, 7, 511, 512, 513, 1000]) expect(readArchive(archive, chunkBytes)).toEqual(whole);
  });
});

/** Type 'S': four extents in the header, 21 in each block behind it. */
function oldSparse(extents: ReadonlyArray<readonly [number, number]>, size: number, stored: Buffer): Buffer {
  const octal = (value: number): string => value.toString(8).padStart(11, '0');
  const pairs = extents.map(([offset, length]) => `${octal(offset)}\0${octal(length)}\0`);
  const blocks: Buffer[] = [];
  for (let at = 4; at < pairs.length; at += 21) {
    const block = Buffer.alloc(BLOCK);
    block.write(pairs.slice(at, at + 21).join(''), 0, 'latin1');
    block[504] = at + 21 < pairs.length ? 1 : 0;
    blocks.push(block);
  }
  const patch: Array<[number, string]> = [
    [386, pairs.slice(0, 4).join('')],
    [482, pairs.length > 4 ? '\x01' : '\0'],
    [483, octal(size)],
  ];
  const header = headerBytes({ name: 'f', type: 'S', magic: 'gnu', size: stored.length, patch });
  return Buffer.concat([header, ...blocks, stored, Buffer.alloc((BLOCK - (stored.length % BLOCK)) % BLOCK), tarOf()]);
}
