import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { openFileCalls } from '../../../src/linux/file-calls.ts';
import { openKernel } from '../../../src/linux/open-kernel.ts';
import { LayerUnpacker, type UnpackRequest } from '../../../src/stores/layers/unpack.ts';
import { describeRoot, describeWith } from '../../support/requirements.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { readTree, type TreeEntry } from '../../support/tree.ts';
import { extensionBytes, headerBytes, paxPayload, tarOf, type EntrySpec } from './support/tar-writer.ts';
import { closeSharedUnpacker, sha256, sharedUnpacker, TAR, unpackArchive } from './support/unpack-archive.ts';

afterAll(closeSharedUnpacker);

const code = (name: string): unknown => expect.objectContaining({ code: name });

/** The tree that these entries make, '' left out. */
async function treeOf(entries: readonly EntrySpec[], form: 'plain' | 'overlay' = 'plain'): Promise<Record<string, TreeEntry>> {
  const { target } = await unpackArchive(tarOf(...entries), temporaryDirectory('layers'), { form });
  return Object.fromEntries([...readTree(target)].filter(([path]) => path !== ''));
}

const directory = (name: string, more: Partial<EntrySpec> = {}): EntrySpec => ({ name: `${name}/`, type: '5', mode: 0o755, ...more });

describeRoot('unpack: what entries become', () => {
  it('every kind, with mode, owner, times to the nanosecond and attributes', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const tree = await treeOf([
      directory('d', { mode: 0o2775, gid: 50, mtime: 7 }),
      directory('old', { mtime: -7 }),
      { name: 'd/old', mtime: -1 },
      { name: 'd/old-link', type: '2', linkName: 'x', mtime: -2 },
      { name: 'd/f', content: 'hello', mode: 0o640, uid: 1000, gid: 1001, pax: [['mtime', '1700000000.123456789']] },
      { name: 'd/setuid', mode: 0o6711, uid: 1000, gid: 1000, content: 'x' },
      {
        name: 'd/cap',
        mode: 0o755,
        uid: 5,
        content: 'x',
        pax: [
          ['SCHILY.xattr.security.capability', capability],
          ['SCHILY.xattr.user.empty', ''],
        ],
      },
      { name: 'd/link', type: '2', linkName: '../no/such', uid: 9, mtime: 11 },
      { name: 'd/frac', type: '2', linkName: 'f', pax: [['mtime', '-1.5']] },
      { name: 'd/null', type: '3', devMajor: 1, devMinor: 3, mode: 0o666 },
      { name: 'd/loop', type: '4', devMajor: 7, devMinor: 300, mode: 0o660, gid: 6 },
      { name: 'd/fifo', type: '6', mode: 0o622 },
      { name: 'd/hard', type: '1', linkName: 'd/f' },
      { name: 'd/hard-symlink', type: '1', linkName: './d//link' },
      { name: 'd/hard2', type: '1', linkName: 'd/hard' },
      { name: 'd/none', mode: 0, content: 'secret' },
    ]);
    expect(tree).toMatchObject({
      d: { type: 'directory', mode: '2775', gid: 50, modified: 7_000_000_000n },
      'd/f': { mode: '0640', uid: 1000, gid: 1001, size: 5, modified: 1_700_000_000_123_456_789n, linkCount: 3, linkGroup: 'd/f\0d/hard\0d/hard2' },
      'd/setuid': { mode: '6711', uid: 1000, gid: 1000 },
      'd/cap': { uid: 5, xattrs: `security.capability=${capability.toString('hex')}\nuser.empty=` },
      'd/link': { type: 'symlink', target: '../no/such', uid: 9, modified: 11_000_000_000n, linkGroup: 'd/hard-symlink\0d/link' },
      'd/frac': { type: 'symlink', modified: -1_500_000_000n },
      'd/null': { type: 'character device', device: '1:3', mode: '0666' },
      'd/loop': { type: 'block device', device: '7:300', mode: '0660', gid: 6 },
      'd/fifo': { type: 'fifo', mode: '0622' },
      'd/none': { mode: '0000', size: 6 },
      old: { modified: -7_000_000_000n },
      'd/old': { modified: -1_000_000_000n },
      'd/old-link': { modified: -2_000_000_000n },
    });
  });

  it('times of directories hold, though entries come into them later', async () => {
    const tree = await treeOf([directory('a', { mtime: 1 }), directory('a/b', { mtime: 2 }), { name: 'a/b/f' }, { name: 'a/g' }]);
    expect([tree['a']?.modified, tree['a/b']?.modified]).toEqual([1_000_000_000n, 2_000_000_000n]);
  });

  it('parents without an entry get mode 0755 and owner root, and the root of the layer its own entry', async () => {
    const { target } = await unpackArchive(tarOf({ name: 'x/y/f' }, directory('.', { mode: 0o711, uid: 3, mtime: 9 })), temporaryDirectory('layers'));
    const tree = readTree(target);
    expect(tree.get('x/y')).toMatchObject({ type: 'directory', mode: '0755', uid: 0, gid: 0 });
    expect(tree.get('')).toMatchObject({ mode: '0711', uid: 3, modified: 9_000_000_000n });
  });

  it('names of any bytes', async () => {
    const name = Buffer.from([0x64, 0x2f, 0xff, 0xfe, 0x0a, 0x80]);
    const tree = await treeOf([directory('d'), { name, content: 'x' }, { name: 'd/l', type: '1', linkName: name }]);
    expect(tree['d/\xff\xfe\n\x80']).toMatchObject({ size: 1, linkCount: 2 });
  });

  it('holes of sparse files are left as holes', async () => {
    const size = 64 * 1024 * 1024;
    const pax: Array<[string, string]> = [
      ['GNU.sparse.size', String(size)],
      ['GNU.sparse.map', `1048576,5,${size - 100},3`],
    ];
    const { target } = await unpackArchive(tarOf({ name: 'f', content: 'helloend', pax }), temporaryDirectory('layers'));
    const content = readFileSync(join(target, 'f'));
    expect([content.length, content.toString('latin1', 1048576, 1048581), content.toString('latin1', size - 100, size - 97)]).toEqual([
      size,
      'hello',
      'end',
    ]);
    expect(lstatSync(join(target, 'f')).blocks * 512).toBeLessThan(1024 * 1024);
  });

  it('large files, side by side with many small ones', async () => {
    const large = Buffer.alloc(5_000_001, 'large file ');
    const small = Array.from({ length: 600 }, (_, index): EntrySpec => ({ name: `d${index % 7}/s${index}`, content: `small ${index}` }));
    const tree = await treeOf([...small.slice(0, 300), { name: 'large', content: large }, ...small.slice(300), { name: 'large2', content: large }]);
    const expected = sha256(large).slice('sha256:'.length);
    expect([tree['large']?.content, tree['large2']?.content, Object.keys(tree).length]).toEqual([expected, expected, 609]);
    expect(tree['d4/s599']?.content).toBe(sha256(Buffer.from('small 599')).slice('sha256:'.length));
  });

  it('attributes that take more room than a batch', async () => {
    const attributes = (name: string): Array<[string, Buffer]> =>
      Array.from({ length: 16 }, (_, index): [string, Buffer] => [`SCHILY.xattr.user.${name}${index}`, Buffer.alloc(60_000, index)]);
    const archive = Buffer.concat([extensionBytes('g', paxPayload(attributes('global'))), tarOf({ name: 'f', pax: attributes('own') })]);
    const place = temporaryDirectory('layers');
    // File systems keep less than that; what matters is that it is the file system that says so.
    const failure = expect.objectContaining({ code: 'IO_ERROR', message: expect.stringMatching(/setxattr/) as string });
    await expect(unpackArchive(archive, place)).rejects.toThrowError(failure);
    expect(existsSync(join(place, 'layer'))).toBe(false);
  });

  it('trusted.overlay attributes of an archive are left out in both forms', async () => {
    const pax: Array<[string, string]> = [
      ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
      ['SCHILY.xattr.trusted.overlay.redirect', '/etc'],
      ['SCHILY.xattr.user.kept', 'k'],
    ];
    for (const form of ['plain', 'overlay'] as const) {
      const tree = await treeOf([directory('d', { pax }), { name: 'f', pax }], form);
      expect([tree['d']?.xattrs, tree['f']?.xattrs]).toEqual(['user.kept=6b', 'user.kept=6b']);
    }
  });
});

describeRoot('unpack: entries that come twice', () => {
  it.each<[string, EntrySpec[], Record<string, unknown>]>([
    [
      'a file twice',
      [
        { name: 'a', content: 'old', mode: 0o600 },
        { name: 'a', content: 'newer' },
      ],
      { a: { type: 'file', size: 5, mode: '0644' } },
    ],
    ['file to directory', [{ name: 'a', content: 'x' }, directory('a'), { name: 'a/b' }], { a: { type: 'directory' }, 'a/b': { type: 'file' } }],
    ['directory to file', [directory('a/b'), { name: 'a/b/c' }, { name: 'a', content: 'x' }], { a: { type: 'file', size: 1 } }],
    ['file, directory, file', [{ name: 'a' }, directory('a'), { name: 'a/b' }, { name: 'a', content: 'xy' }], { a: { type: 'file', size: 2 } }],
    [
      'symlink to directory',
      [{ name: 'a', type: '2', linkName: '/etc' }, directory('a'), { name: 'a/b' }],
      { a: { type: 'directory' }, 'a/b': { type: 'file' } },
    ],
    ['directory to symlink', [directory('a'), { name: 'a/b' }, { name: 'a', type: '2', linkName: 'x' }], { a: { type: 'symlink', target: 'x' } }],
    [
      'a directory twice',
      [directory('a', { mode: 0o700, mtime: 1 }), { name: 'a/b' }, directory('a', { mode: 0o750, mtime: 2 })],
      { a: { mode: '0750', modified: 2_000_000_000n }, 'a/b': { type: 'file' } },
    ],
    [
      'a link to itself',
      [
        { name: 'a', content: 'x' },
        { name: 'a', type: '1', linkName: './a' },
      ],
      { a: { type: 'file', size: 1, linkCount: 1 } },
    ],
    [
      'a linked file replaced',
      [
        { name: 'a', content: 'x' },
        { name: 'b', type: '1', linkName: 'a' },
        { name: 'a', content: 'new' },
        { name: 'c', type: '1', linkName: 'b' },
      ],
      { a: { size: 3 }, b: { size: 1, linkGroup: 'b\0c' }, c: { size: 1 } },
    ],
    [
      'a link replaced',
      [
        { name: 'a', content: 'x' },
        { name: 'b', type: '1', linkName: 'a' },
        { name: 'b', content: 'new' },
      ],
      { a: { linkCount: 1, size: 1 }, b: { size: 3 } },
    ],
    [
      'a file replaced by a link',
      [
        { name: 'a', content: 'x' },
        { name: 'b', content: 'old' },
        { name: 'b', type: '1', linkName: 'a' },
      ],
      { a: { linkCount: 2 }, b: { size: 1 } },
    ],
  ])('%s: the last one wins', async (_, entries, expected) => {
    const tree = await treeOf(entries);
    expect(tree).toMatchObject(expected);
    expect(Object.keys(tree).toSorted()).toEqual(Object.keys(expected).toSorted());
  });
});

describeRoot('unpack: whiteouts', () => {
  const opaque = 'trusted.overlay.opaque=79';

  it('plain: markers stay as empty files, those of AUFS go', async () => {
    const tree = await treeOf([
      directory('d'),
      { name: 'd/.wh.gone', content: 'not empty', mode: 0o600 },
      { name: 'd/.wh..wh..opq' },
      { name: '.wh.linked', type: '1', linkName: '.wh..wh.aufs' },
      { name: '.wh..wh.aufs' },
      directory('.wh..wh.plnk'),
      { name: '.wh..wh.plnk/1.2' },
      { name: 'kept' },
      { name: '.wh.kept' },
    ]);
    expect(Object.keys(tree).toSorted()).toEqual(['.wh.kept', '.wh.linked', 'd', 'd/.wh..wh..opq', 'd/.wh.gone', 'kept']);
    expect(tree['d/.wh.gone']).toMatchObject({ type: 'file', size: 0, mode: '0600' });
  });

  it('overlay: a device 0/0 of mode 0, owner root, in a directory with an origin; an opaque directory has the attribute', async () => {
    const tree = await treeOf([{ name: 'd/.wh.gone', uid: 7, mode: 0o644 }, { name: 'e/.wh..wh..opq' }, { name: 'e/.wh..wh.orph' }], 'overlay');
    expect(tree).toMatchObject({
      'd/gone': { type: 'character device', device: '0:0', mode: '0000', uid: 0, gid: 0 },
      // without it overlayfs would list the whiteout where no other layer has `d`
      d: { xattrs: 'trusted.overlay.origin=' },
      e: { xattrs: opaque },
    });
    expect(Object.keys(tree).toSorted()).toEqual(['d', 'd/gone', 'e']);
  });

  it('overlay: an opaque marker at the root of the layer', async () => {
    const { target } = await unpackArchive(tarOf({ name: '.wh..wh..opq' }, { name: 'a' }), temporaryDirectory('layers'), { form: 'overlay' });
    expect([...readTree(target)].map(([path, { xattrs }]) => [path, xattrs])).toEqual([
      ['', opaque],
      ['a', ''],
    ]);
  });

  it.each([
    ['whiteout first', false],
    ['whiteout last', true],
  ])('overlay: the same layer has the entry too, %s: it stays, and a directory is opaque', async (_, last) => {
    const real: EntrySpec[] = [
      { name: 'f', content: 'x' },
      directory('d'),
      { name: 'd/in' },
      { name: 'implied/in' },
      { name: 'l', type: '2', linkName: 'f' },
    ];
    const markers: EntrySpec[] = ['f', 'd', 'implied', 'l'].map((name) => ({ name: `.wh.${name}` }));
    const tree = await treeOf(last ? [...real, ...markers] : [...markers, ...real], 'overlay');
    expect(
      Object.entries(tree)
        .map(([path, { type, xattrs }]) => `${path} ${type} ${xattrs}`)
        .toSorted(),
    ).toEqual([`d directory ${opaque}`, 'd/in file ', 'f file ', `implied directory ${opaque}`, 'implied/in file ', 'l symlink ']);
  });

  it('overlay: whiteouts go with the directory that a file replaces', async () => {
    const tree = await treeOf([{ name: 'd/.wh.a' }, { name: 'd/e/.wh.b' }, { name: 'd', content: 'x' }], 'overlay');
    expect(tree).toMatchObject({ d: { type: 'file' } });
    expect(Object.keys(tree)).toEqual(['d']);
  });

  it('overlay: a device 0/0 of the archive stays, and hides what is below as overlayfs has it', async () => {
    const tree = await treeOf([{ name: 'x', type: '3', mode: 0o600 }], 'overlay');
    expect(tree['x']).toMatchObject({ type: 'character device', device: '0:0' });
  });

  it.each(['.wh.', 'd/.wh..', '.wh...', '.wh.a/b'])('%j is LAYER_UNSAFE in both forms', async (name) => {
    for (const form of ['plain', 'overlay'] as const)
      await expect(unpackArchive(tarOf({ name }), temporaryDirectory('layers'), { form })).rejects.toThrowError(code('LAYER_UNSAFE'));
  });
});

describeRoot('unpack: hostile archives', () => {
  const symlink: EntrySpec = { name: 'out', type: '2', linkName: '..' };

  it.each<[string, string, EntrySpec[]]>([
    ['an absolute name', 'LAYER_UNSAFE', [{ name: '/tmp/evil' }]],
    ['..', 'LAYER_UNSAFE', [{ name: '../evil' }]],
    ['.. in the middle', 'LAYER_UNSAFE', [directory('a'), { name: 'a/../../evil' }]],
    ['an empty name', 'LAYER_UNSAFE', [{ name: '' }]],
    ['a parent that is a symlink', 'LAYER_UNSAFE', [symlink, { name: 'out/evil' }]],
    ['a parent far up that is a symlink', 'LAYER_UNSAFE', [symlink, { name: 'out/a/b/evil' }]],
    ['a parent that is a file', 'LAYER_UNSAFE', [{ name: 'f' }, { name: 'f/evil' }]],
    ['a whiteout below a symlink', 'LAYER_UNSAFE', [symlink, { name: 'out/.wh.evil' }]],
    ['an opaque marker below a symlink', 'LAYER_UNSAFE', [symlink, { name: 'out/.wh..wh..opq' }]],
    ['a hard link out, absolute', 'LAYER_UNSAFE', [{ name: 'l', type: '1', linkName: '/etc/shadow' }]],
    ['a hard link out, ..', 'LAYER_UNSAFE', [{ name: 'l', type: '1', linkName: '../blob' }]],
    ['a hard link through a symlink', 'LAYER_UNSAFE', [symlink, { name: 'l', type: '1', linkName: 'out/blob' }]],
    ['a hard link to what is not there', 'LAYER_INVALID', [{ name: 'l', type: '1', linkName: 'later' }, { name: 'later' }]],
    ['a hard link to a directory', 'LAYER_INVALID', [directory('d'), { name: 'l', type: '1', linkName: 'd' }]],
    ['a hard link to nothing', 'LAYER_INVALID', [{ name: 'l', type: '1' }]],
    ['a root that is a symlink', 'LAYER_INVALID', [{ name: './', type: '2', linkName: '/etc' }]],
    ['a symlink to nothing', 'LAYER_INVALID', [{ name: 'l', type: '2' }]],
    ['a device number out of range', 'LAYER_INVALID', [{ name: 'd', type: '3', devMajor: 4096 }]],
    ['a component of 256 bytes', 'LAYER_INVALID', [{ name: 'x', pax: [['path', 'n'.repeat(256)]] }]],
    ['a path of 4096 bytes', 'LAYER_INVALID', [{ name: 'x', pax: [['path', `${'n'.repeat(127)}/`.repeat(32).concat('n')]] }]],
    ['a bad checksum', 'LAYER_INVALID', [{ name: 'a' }, { name: 'b', checksum: 'wrong' }]],
    ['a huge PAX header', 'LIMIT_EXCEEDED', [{ name: 'x', type: 'x', size: 2 ** 33 }]],
    ['a size beyond all', 'LAYER_INVALID', [{ name: 'x', patch: [[124, Buffer.from('80ffffffffffffffffffffff', 'hex')]] }]],
  ])('%s: %s', async (_, expected, entries) => {
    for (const form of ['plain', 'overlay'] as const) {
      const place = temporaryDirectory('layers');
      await expect(unpackArchive(tarOf({ name: 'before', content: 'x' }, ...entries), place, { form })).rejects.toThrowError(code(expected));
      expect(readdirSync(place).filter((name) => !name.startsWith('blob-'))).toEqual([]);
    }
  });

  it('says which entry, and where', async () => {
    const error: unknown = await unpackArchive(tarOf({ name: 'a', content: 'x' }, { name: 'grüße/../x' }), temporaryDirectory('layers')).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'LAYER_UNSAFE', details: { entry: 'grüße/../x', offset: 1024 } });
  });

  it('truncated anywhere, the layer is refused, and nothing is left', async () => {
    const archive = tarOf(
      { name: 'a', content: 'x'.repeat(700) },
      { name: 'b', pax: [['path', 'b2']], content: 'y' },
      { name: 'c', type: '1', linkName: 'a' },
    );
    const place = temporaryDirectory('layers');
    const blob = join(place, 'blob');
    const unpacker = await sharedUnpacker();
    for (let length = 0; length < archive.length; length += 512) {
      const bytes = archive.subarray(0, length);
      writeFileSync(blob, bytes);
      const request: UnpackRequest = {
        source: { path: blob, size: length },
        mediaType: TAR,
        digest: sha256(bytes),
        diffId: sha256(archive),
        form: 'plain',
        target: join(place, 'layer'),
      };
      const expected = [0, 1536, 3584, 4096, 4608].includes(length) ? 'DIGEST_MISMATCH' : 'LAYER_INVALID';
      await expect(unpacker.unpack(request), `${length} bytes`).rejects.toThrowError(code(expected));
      expect(readdirSync(place)).toEqual(['blob']);
    }
  });
});

describeWith(['zstd'], 'unpack: bombs', () => {
  it('what unpacks to far more than gzip can is LIMIT_EXCEEDED', async () => {
    const zstd = (input: Buffer): Buffer => spawnSync('zstd', ['-q', '-c'], { input, maxBuffer: 1e8 }).stdout;
    // Its content belongs to no file, so that the test writes nothing.
    const head = zstd(headerBytes({ name: '.wh..wh.aufs', size: 2 ** 38 }));
    const zeros = zstd(Buffer.alloc(64 * 1024 * 1024));
    const bomb = Buffer.concat([head, ...Array.from({ length: 6 }, () => zeros)]);
    const place = temporaryDirectory('layers');
    await expect(unpackArchive(bomb, place, { mediaType: `${TAR}+zstd` })).rejects.toThrowError(code('LIMIT_EXCEEDED'));
    expect(readdirSync(place).filter((name) => !name.startsWith('blob-'))).toEqual([]);
  });
});

describeRoot('unpack: verification', () => {
  const archive = tarOf({ name: 'a', content: 'x' });
  const packed = gzipSync(archive);
  const place = (): { blob: string; target: string; directory: string } => {
    const path = temporaryDirectory('layers');
    return { directory: path, blob: join(path, 'blob'), target: join(path, 'layer') };
  };

  async function attempt(change: Partial<UnpackRequest>, bytes = packed): Promise<unknown> {
    const { blob, target, directory: path } = place();
    writeFileSync(blob, bytes);
    const request = {
      source: { path: blob, size: packed.length },
      mediaType: `${TAR}+gzip`,
      digest: sha256(packed),
      diffId: sha256(archive),
      form: 'plain',
      target,
      ...change,
    } as const;
    const outcome: unknown = await (await sharedUnpacker()).unpack(request).catch((error: unknown) => error);
    if (outcome instanceof Error) expect(readdirSync(path)).toEqual(['blob']);
    return outcome;
  }

  it('takes a layer whose digests are right, sha512 too', async () => {
    expect(await attempt({})).toEqual({ entries: 1, bytes: archive.length, warnings: [] });
  });

  it('trailing bytes count for the diff id', async () => {
    const longer = Buffer.concat([archive, Buffer.from('trailing')]);
    const { target } = await unpackArchive(gzipSync(longer), temporaryDirectory('layers'), { mediaType: `${TAR}+gzip`, tar: longer });
    expect(readdirSync(target)).toEqual(['a']);
    await expect(unpackArchive(gzipSync(longer), temporaryDirectory('layers'), { mediaType: `${TAR}+gzip`, tar: archive })).rejects.toThrowError(
      code('DIGEST_MISMATCH'),
    );
  });

  it('a wrong digest or diff id is DIGEST_MISMATCH, with what was expected and found', async () => {
    const other = sha256(Buffer.from('other'));
    expect(await attempt({ digest: other })).toMatchObject({ code: 'DIGEST_MISMATCH', details: { expected: other, found: sha256(packed) } });
    expect(await attempt({ diffId: other })).toMatchObject({ code: 'DIGEST_MISMATCH', details: { expected: other, found: sha256(archive) } });
  });

  it('a damaged blob is DIGEST_MISMATCH, whatever it does to gzip and tar', async () => {
    const damaged = Buffer.from(packed);
    damaged[20] = (damaged[20] ?? 0) ^ 0xff;
    expect(await attempt({}, damaged)).toMatchObject({ code: 'DIGEST_MISMATCH', cause: { code: 'LAYER_INVALID' } });
    expect(await attempt({}, Buffer.alloc(packed.length))).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('a file shorter or longer than the blob is DIGEST_MISMATCH', async () => {
    expect(await attempt({}, packed.subarray(1))).toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(await attempt({}, Buffer.concat([packed, packed]))).toMatchObject({ code: 'DIGEST_MISMATCH' });
  });

  it('takes a region of a larger file, packed or not, without a digest of its own', async () => {
    for (const bytes of [packed, archive]) {
      const { blob, target } = place();
      writeFileSync(blob, Buffer.concat([Buffer.alloc(1000, 1), bytes, Buffer.alloc(1000, 2)]));
      const seen: number[] = [];
      const unpacker = await sharedUnpacker();
      await unpacker.unpack({
        source: { path: blob, offset: 1000, size: bytes.length },
        mediaType: TAR,
        diffId: sha256(archive),
        form: 'plain',
        target,
        onBytes: (done) => seen.push(done),
      });
      expect([readdirSync(target), seen.at(-1)]).toEqual([['a'], bytes.length]);
    }
  });

  it('a target that exists, or whose parent does not, is IO_ERROR and left alone', async () => {
    const { blob, target } = place();
    mkdirSync(target);
    writeFileSync(join(target, 'mine'), '');
    writeFileSync(blob, packed);
    const unpacker = await sharedUnpacker();
    const request = { source: { path: blob, size: packed.length }, mediaType: TAR, diffId: sha256(archive), form: 'plain', target } as const;
    await expect(unpacker.unpack(request)).rejects.toThrowError(code('IO_ERROR'));
    expect(readdirSync(target)).toEqual(['mine']);
    await expect(unpacker.unpack({ ...request, target: join(target, 'no', 'such') })).rejects.toThrowError(code('IO_ERROR'));
    await expect(unpacker.unpack({ ...request, target: `${target}2`, source: { path: `${blob}2`, size: 1 } })).rejects.toThrowError(code('IO_ERROR'));
    expect(existsSync(`${target}2`)).toBe(false);
  });
});

describeRoot('unpack: life of the threads', () => {
  const many = tarOf(...Array.from({ length: 1200 }, (_, index): EntrySpec => ({ name: `d${index % 50}/f${index}`, content: `content ${index}` })));

  it('several layers at once share the threads, and each comes out whole', async () => {
    const results = await Promise.all(Array.from({ length: 4 }, async () => unpackArchive(many, temporaryDirectory('layers'))));
    const trees = results.map(({ target }) => readTree(target));
    for (const tree of trees) expect(tree).toEqual(trees[0]);
    expect(trees[0]?.size).toBe(1251);
  });

  it('more layers at once than there is memory for', async () => {
    const large = tarOf({ name: 'large', content: Buffer.alloc(3_000_000, 'x') });
    const results = await Promise.all(Array.from({ length: 40 }, async () => unpackArchive(large, temporaryDirectory('layers'))));
    expect(results.map(({ target }) => lstatSync(join(target, 'large')).size)).toEqual(results.map(() => 3_000_000));
  });

  it('an abort ends all work before it is reported, and nothing is left', async () => {
    const place = temporaryDirectory('layers');
    const blob = join(place, 'blob');
    const tar = tarOf(...Array.from({ length: 20 }, (_, index): EntrySpec => ({ name: `f${index}`, content: Buffer.alloc(1_000_000, index) })));
    writeFileSync(blob, tar);
    for (const stopAt of [0, 1_000_000, 5_000_000, 15_000_000]) {
      const controller = new AbortController();
      const reason = new Error('enough');
      const onBytes = (done: number): void => {
        if (done > stopAt) controller.abort(reason);
      };
      const request: UnpackRequest = {
        source: { path: blob, size: tar.length },
        mediaType: TAR,
        diffId: sha256(tar),
        form: 'plain',
        target: join(place, 'layer'),
        onBytes,
      };
      await expect((await sharedUnpacker()).unpack(request, controller.signal)).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
      expect(readdirSync(place)).toEqual(['blob']);
    }
  });

  it('after a failure in a thread no file stays open, and the next layer works', async () => {
    const place = temporaryDirectory('layers');
    const open = (): number => readdirSync('/proc/self/fd').length;
    await unpackArchive(tarOf({ name: 'first' }), temporaryDirectory('layers'));
    const before = open();
    const huge = Buffer.alloc(3_000_000, 'x');
    const failing = tarOf({ name: 'a', content: huge }, { name: 'b', content: huge, size: 2 ** 33 });
    await expect(unpackArchive(failing, place)).rejects.toThrowError(code('LAYER_INVALID'));
    expect(open()).toBe(before);
    await unpackArchive(tarOf({ name: 'next' }), temporaryDirectory('layers'));
  });

  it('close waits for layers under way, ends the threads, and refuses more', async () => {
    const unpacker = new LayerUnpacker({ kernel: await openKernel(), threads: 1 });
    const place = temporaryDirectory('layers');
    writeFileSync(join(place, 'blob'), many);
    const request: UnpackRequest = {
      source: { path: join(place, 'blob'), size: many.length },
      mediaType: TAR,
      diffId: sha256(many),
      form: 'plain',
      target: join(place, 'layer'),
    };
    const running = unpacker.unpack(request);
    await unpacker.close();
    expect((await running).entries).toBe(1200);
    await expect(unpacker.unpack({ ...request, target: join(place, 'other') })).rejects.toThrowError(code('ENGINE_CLOSED'));
    expect(readdirSync(place).toSorted()).toEqual(['blob', 'layer']);
  });

  it.each([
    ['both have worked', many],
    ['one has never worked', tarOf({ name: 'f' })],
  ])('idle threads keep no process alive: %s', (_, tar) => {
    const module = new URL('../../../src/stores/layers/unpack.js', import.meta.url).href;
    const kernel = new URL('../../../src/linux/open-kernel.js', import.meta.url).href;
    const place = temporaryDirectory('layers');
    writeFileSync(join(place, 'blob'), tar);
    const script = `
      import { LayerUnpacker } from ${JSON.stringify(module)};
      import { openKernel } from ${JSON.stringify(kernel)};
      const unpacker = new LayerUnpacker({ kernel: await openKernel() });
      await unpacker.unpack({ source: { path: process.argv[1] + '/blob', size: ${tar.length} }, mediaType: ${JSON.stringify(TAR)},
        diffId: ${JSON.stringify(sha256(tar))}, form: 'plain', target: process.argv[1] + '/layer' });
      console.log('unpacked');`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, '--', place], { timeout: 30_000, encoding: 'utf8' });
    expect(output).toBe('unpacked\n');
  });
});

describe('unpack: attributes', () => {
  it('a file system that keeps none gives a warning, not a failure', async () => {
    const files = openFileCalls();
    const { setXattr } = await import('../../../src/stores/layers/apply-batch.ts');
    const refusing = {
      ...files,
      setXattr: () => {
        throw Object.assign(new Error('ENOTSUP: operation not supported'), { code: 'ENOTSUP' });
      },
    };
    const warnings: string[] = [];
    setXattr(refusing, Buffer.from('/f'), 'user.x', Buffer.alloc(0), warnings);
    expect(warnings).toEqual([expect.stringContaining('/f: the attribute user.x')]);
  });
});

describeWith(['setpriv'], 'unpack: without privilege', () => {
  it('the plain form keeps all that a user may make', () => {
    const module = new URL('../../../src/stores/layers/unpack.js', import.meta.url).href;
    const kernel = new URL('../../../src/linux/open-kernel.js', import.meta.url).href;
    const place = temporaryDirectory('layers');
    chmodSync(place, 0o777);
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const tar = tarOf(
      directory('d', { mode: 0o555, uid: 5 }),
      { name: 'd/f', content: 'x', mode: 0o4400, uid: 5, pax: [['SCHILY.xattr.user.note', 'n']] },
      { name: 'd/cap', pax: [['SCHILY.xattr.security.capability', capability]] },
      { name: 'd/null', type: '3', devMajor: 1, devMinor: 3, mode: 0o666 },
      { name: 'd/fifo', type: '6' },
      { name: 'd/link', type: '2', linkName: 'f', uid: 9 },
    );
    writeFileSync(join(place, 'blob'), tar);
    const script = `
      import { LayerUnpacker } from ${JSON.stringify(module)};
      import { openKernel } from ${JSON.stringify(kernel)};
      const unpacker = new LayerUnpacker({ kernel: await openKernel() });
      const { warnings } = await unpacker.unpack({ source: { path: process.argv[1] + '/blob', size: ${tar.length} }, mediaType: ${JSON.stringify(TAR)},
        diffId: ${JSON.stringify(sha256(tar))}, form: 'plain', target: process.argv[1] + '/layer' });
      console.log(JSON.stringify(warnings));`;
    const user = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '--input-type=module', '-e', script, '--', place];
    const warnings = JSON.parse(execFileSync('setpriv', user, { encoding: 'utf8', timeout: 30_000 })) as string[];
    expect(warnings).toEqual([expect.stringContaining('security.capability')]);
    const tree = readTree(join(place, 'layer'));
    expect(tree.get('d')).toMatchObject({ mode: '0555', uid: 65_534 });
    expect(tree.get('d/f')).toMatchObject({ mode: '4400', uid: 65_534, size: 1, xattrs: 'user.note=6e' });
    expect(tree.get('d/null')).toMatchObject({ type: 'file', size: 0 });
    expect(tree.get('d/fifo')?.type).toBe('fifo');
    expect(tree.get('d/link')).toMatchObject({ type: 'symlink', target: 'f' });
  });
});
