import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFileCalls } from '../../../src/linux/file-calls.ts';
import { imagesDirectory, missingImages } from '../../support/images.ts';
import { describeWith } from '../../support/requirements.ts';
import { makeFreshFilesystem, type Workplace } from '../../support/fresh-filesystem.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { diffTrees, readTree, showDifference, type Tree } from '../../support/tree.ts';
import { readArchive, readEntries } from './support/read-archive.ts';
import { closeSharedUnpacker, unpackArchive } from './support/unpack-archive.ts';

afterAll(closeSharedUnpacker);

const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/** A tree with every kind of entry and the odd corners of each. */
function makeTree(root: string): void {
  const files = openFileCalls();
  const at = (name: string | Buffer): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]);
  mkdirSync(root, { recursive: true });
  for (const name of ['d', 'd/sub', 'd/sticky', 'long']) mkdirSync(at(name));
  writeFileSync(at('d/file'), 'content\n', { mode: 0o640 });
  writeFileSync(at('d/empty'), '');
  writeFileSync(at('d/setuid'), '#!/bin/sh\n');
  writeFileSync(at(`long/${'n'.repeat(255)}`), 'x');
  writeFileSync(at(Buffer.from([0x64, 0x2f, 0xff, 0xfe, 0x0a])), 'no UTF-8');
  writeFileSync(at('d/grüße-日本語-😀'), 'UTF-8');
  writeFileSync(at('d/attributes'), 'x');
  symlinkSync('../no/such', at('d/dangling'));
  symlinkSync(`/${'t'.repeat(100)}/${'u'.repeat(100)}`, at('d/long-target'));
  linkSync(at('d/file'), at('d/sub/hard'));
  linkSync(at('d/dangling'), at('d/sub/hard-symlink'));
  files.mknod(at('d/fifo'), S_IFIFO | 0o600, 0, 0);
  files.mknod(at('d/null'), S_IFCHR | 0o666, 1, 3);
  files.mknod(at('d/loop'), S_IFBLK | 0o660, 7, 300);
  files.setXattr(at('d/attributes'), 'user.empty', Buffer.alloc(0));
  files.setXattr(at('d/attributes'), 'user.a=b%c', Buffer.from([0, 0x0a, 0xff, 0x3d, 0x0a]));
  files.setXattr(at('d/attributes'), 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'));
  const sparse = openSync(at('sparse'), 'w');
  for (let block = 0; block < 100; block += 1) writeSync(sparse, `block ${block}`, block * 65_536 + 4096);
  ftruncateSync(sparse, 100 * 65_536 + 12_345);
  closeSync(sparse);
  const hole = openSync(at('hole'), 'w');
  ftruncateSync(hole, 1_000_000);
  closeSync(hole);
  chmodSync(at('d/setuid'), 0o6755);
  chmodSync(at('d/sticky'), 0o1777);
  files.setTimes(at('d/file'), undefined, 1_700_000_000_123_456_789n);
  files.setTimes(at('d/empty'), undefined, 1_000_000_001n);
  lutimesSync(at('d/dangling'), 5, 5);
  for (const [index, name] of ['long', 'd/sub', 'd/sticky', 'd'].entries()) lutimesSync(at(name), 100 + index, 100 + index);
}

function differences(expected: Tree, actual: Tree, ignore: (path: string, field: string) => boolean = () => false): string[] {
  return diffTrees(expected, actual)
    .filter(({ path, field }) => !ignore(path, field))
    .map(showDifference);
}

describeWith(['tar', 'python3'], 'archives that others wrote', () => {
  const PAX = '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=ctime';
  const formats: Array<[string, string[], boolean]> = [
    ['GNU tar, PAX', ['--format=pax', PAX, '--xattrs', '--xattrs-include=*'], false],
    ['GNU tar, PAX, sparse 0.0', ['--format=pax', PAX, '--xattrs', '--xattrs-include=*', '--sparse', '--sparse-version=0.0'], false],
    ['GNU tar, PAX, sparse 0.1', ['--format=pax', PAX, '--xattrs', '--xattrs-include=*', '--sparse', '--sparse-version=0.1'], false],
    ['GNU tar, PAX, sparse 1.0', ['--format=pax', PAX, '--xattrs', '--xattrs-include=*', '--sparse', '--sparse-version=1.0'], false],
    ['GNU tar, GNU format', ['--format=gnu'], true],
    ['GNU tar, GNU format, sparse', ['--format=gnu', '--sparse'], true],
  ];

  it.each(formats)('%s: what is read back is the tree itself', async (_, options, lost) => {
    const place = temporaryDirectory('oracle');
    const source = join(place, 'source');
    makeTree(source);
    execFileSync('tar', [...options, '-C', source, '-cf', join(place, 'tar'), '.'], { stdio: 'pipe' });
    const { target, result } = await unpackArchive(readFileSync(join(place, 'tar')), place);
    expect(result.warnings).toEqual([]);
    // Formats without fractions of a second or attributes lose just those.
    const ignore = (_: string, field: string): boolean => field === 'xattrs' && lost;
    expect(differences(seconds(readTree(source), lost), seconds(readTree(target), lost), ignore)).toEqual([]);
  });

  it.each(['PAX_FORMAT', 'GNU_FORMAT'])("Python's tarfile, %s", async (format) => {
    const place = temporaryDirectory('oracle');
    const source = join(place, 'source');
    makeTree(source);
    const script = `
import sys, tarfile
source, archive, format = sys.argv[1:4]
with tarfile.open(archive, "w", format=getattr(tarfile, format), errors="surrogateescape") as tar:
    tar.add(source, arcname=".")`;
    execFileSync('python3', ['-c', script, source, join(place, 'tar'), format]);
    const { target } = await unpackArchive(readFileSync(join(place, 'tar')), place);
    // Python writes neither attributes, nor links to symlinks, nor, in floats, the last digits of a time.
    const symlinks = ['d/dangling', 'd/sub/hard-symlink'];
    const ignore = (path: string, field: string): boolean =>
      field === 'xattrs' || field === 'modified' || (field.startsWith('link') && symlinks.includes(path));
    expect(differences(readTree(source), readTree(target), ignore)).toEqual([]);
  });

  it.each(['v7', 'ustar', 'oldgnu'])('GNU tar, %s, reads as tar itself lists it', (format) => {
    const place = temporaryDirectory('oracle');
    const source = join(place, 'source');
    mkdirSync(join(source, 'dir', 'sub'), { recursive: true });
    for (let index = 0; index < 20; index += 1) writeFileSync(join(source, 'dir', `f${index}`), 'x'.repeat(index * 100), { mode: 0o600 + index });
    symlinkSync('f1', join(source, 'dir', 'link'));
    linkSync(join(source, 'dir', 'f2'), join(source, 'dir', 'sub', 'hard'));
    execFileSync('tar', [`--format=${format}`, '--sort=name', '-C', source, '-cf', join(place, 'tar'), 'dir']);
    const listed = execFileSync('tar', ['--numeric-owner', '-tf', join(place, 'tar')], { encoding: 'utf8' })
      .trimEnd()
      .split('\n');
    const read = readArchive(readFileSync(join(place, 'tar')));
    expect(read.map(({ entry }) => entry.path)).toEqual(listed);
    expect(read.find(({ entry }) => entry.path === 'dir/f19')?.content.toString()).toBe('x'.repeat(1900));
    expect(read.find(({ entry }) => entry.path === 'dir/')?.entry.kind).toBe('directory');
  });

  it('GNU tar, multi-gigabyte sparse files, and ids and times beyond octal', async () => {
    const place = temporaryDirectory('oracle');
    const source = join(place, 'source');
    mkdirSync(source);
    const file = openSync(join(source, 'huge'), 'w');
    writeSync(file, 'at the end', 20_000_000_000);
    closeSync(file);
    execFileSync('chown', ['4000000000:3000000000', join(source, 'huge')]);
    openFileCalls().setTimes(join(source, 'huge'), undefined, -86_400_000_000_000n);
    for (const format of ['gnu', 'pax']) {
      execFileSync('tar', [`--format=${format}`, '--sparse', '-C', source, '-cf', join(place, 'tar'), 'huge']);
      const [read] = readEntries(readFileSync(join(place, 'tar')));
      expect(read).toMatchObject({ size: 20_000_000_010, uid: 4_000_000_000, gid: 3_000_000_000, modified: { seconds: -86_400, nanoseconds: 0 } });
    }
  });
});

const missing = missingImages(['app', 'base', 'tiny']);

if (missing !== undefined) describe.skip(`layers of real images [SKIPPED: ${missing}]`, () => undefined);
else
  describeWith(['tar'], 'layers of real images', () => {
    let place: Workplace;
    beforeAll(() => {
      place = makeFreshFilesystem('image-layers');
    });
    afterAll(() => place?.close());

    for (const { name, blob, mediaType } of layersOf(['tiny', 'app'])) {
      it(`${name}: the plain form is what tar makes of it`, { timeout: 300_000 }, async () => {
        const packed = readFileSync(blob);
        const tar = gunzipSync(packed);
        const directory = join(place.directory, name);
        const expected = join(directory, 'expected');
        mkdirSync(expected, { recursive: true });
        const options = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--delay-directory-restore'];
        execFileSync('tar', [...options, '-C', expected, '-xpf', '-'], { input: tar });
        const { target } = await unpackArchive(packed, directory, { mediaType, tar });
        // tar gives a directory without an entry the time of its making.
        const named = new Set(readArchive(tar).map(({ entry }) => entry.path.replace(/\/$/, '')));
        expect(differences(readTree(expected), readTree(target), (path, field) => field === 'modified' && !named.has(path))).toEqual([]);
      });
    }
  });

interface ImageLayer {
  readonly name: string;
  readonly blob: string;
  readonly mediaType: string;
}

function layersOf(images: readonly string[]): ImageLayer[] {
  return images.flatMap((image) => {
    const layout = join(imagesDirectory(), 'oci', image);
    const blobPath = (digest: string): string => join(layout, 'blobs', ...digest.split(':'));
    const read = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    const [manifest] = read(join(layout, 'index.json'))['manifests'] as Array<{ digest: string }>;
    const layers = read(blobPath(manifest?.digest ?? ''))['layers'] as Array<{ digest: string; mediaType: string }>;
    return layers.map(({ digest, mediaType }, index) => ({ name: `${image} ${index}`, blob: blobPath(digest), mediaType }));
  });
}

/** Whole seconds where the format has no more. */
function seconds(tree: Tree, lost: boolean): Tree {
  if (!lost) return tree;
  return new Map([...tree].map(([path, entry]) => [path, { ...entry, modified: (entry.modified / 1_000_000_000n) * 1_000_000_000n }]));
}
