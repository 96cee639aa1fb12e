import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { isRootwrightError } from '../../src/errors.ts';
import { openFileCalls } from '../../src/linux/file-calls.ts';
import type { TarEntry } from '../../src/stores/layers/tar-entry.ts';
import { describeRoot, describeWith } from '../support/requirements.ts';
import { makeDirectory, removeDirectory, temporaryDirectory } from '../support/temporary-directory.ts';
import { diffTrees, readTree, showDifference } from '../support/tree.ts';
import { readArchive, type ReadEntry } from '../stores/layers/support/read-archive.ts';
import { tarOf, type EntrySpec } from '../stores/layers/support/tar-writer.ts';
import { closeSharedUnpacker, unpackArchive } from '../stores/layers/support/unpack-archive.ts';

afterAll(closeSharedUnpacker);

/** Bytes of a name: any but '/' and NUL, neither '.' nor '..'. */
const nameBytes = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((bytes) => !['.', '..'].includes(bytes.toString('latin1')) && !bytes.toString('latin1').startsWith('.wh.'));

const path = fc
  .array(nameBytes, { minLength: 1, maxLength: 6 })
  .map((names) => Buffer.from(names.map((name) => name.toString('latin1')).join('/'), 'latin1'));

const content = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
const id = fc.oneof(fc.integer({ min: 0, max: 2_097_151 }), fc.integer({ min: 2_097_152, max: 0xffff_fffe }));
const seconds = fc.oneof(fc.integer({ min: 0, max: 2 ** 31 }), fc.integer({ min: -(2 ** 33), max: 2 ** 34 }));

interface Sample {
  readonly type: string;
  readonly path: Buffer;
  readonly link: Buffer;
  readonly content: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyArray<readonly [name: string, value: Buffer]>;
}

const sample: fc.Arbitrary<Sample> = fc.record({
  type: fc.constantFrom('0', '0', '0', '1', '2', '3', '4', '5', '6'),
  path,
  link: path,
  content,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: id,
  gid: id,
  seconds,
  major: fc.integer({ min: 0, max: 4095 }),
  minor: fc.integer({ min: 0, max: 1_048_575 }),
  xattrs: fc.array(
    fc.tuple(
      fc.stringMatching(/^user\.[a-z]{1,10}$/),
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 3 },
  ),
});

const KINDS: Readonly<Record<string, TarEntry['kind']>> = {
  0: 'file',
  1: 'hardlink',
  2: 'symlink',
  3: 'character',
  4: 'block',
  5: 'directory',
  6: 'fifo',
};

/** What must be read of a sample, whoever wrote it. */
function expectedOf(one: Sample): Record<string, unknown> {
  const isLink = one.type === '1' || one.type === '2';
  const isDevice = one.type === '3' || one.type === '4';
  return {
    kind: KINDS[one.type],
    path: one.path.toString('latin1'),
    linkPath: isLink ? one.link.toString('latin1') : '',
    mode: one.mode,
    owner: `${one.uid}:${one.gid}`,
    seconds: one.seconds,
    device: isDevice ? `${one.major}:${one.minor}` : '',
    content: one.type === '0' ? one.content.toString('latin1') : '',
  };
}

function foundIn({ entry, content: bytes }: ReadEntry): Record<string, unknown> {
  const isDevice = entry.kind === 'character' || entry.kind === 'block';
  return {
    kind: entry.kind,
    path: entry.path.replace(/\/$/, ''),
    linkPath: entry.linkPath,
    mode: entry.mode,
    owner: `${entry.uid}:${entry.gid}`,
    seconds: entry.modified.seconds,
    device: isDevice ? `${entry.deviceMajor}:${entry.deviceMinor}` : '',
    content: bytes.toString('latin1'),
  };
}

describe('tar: what our own writer writes', () => {
  it('is read back the same, in chunks of any size', () => {
    const specOf = (one: Sample): EntrySpec => ({
      name: 'cut',
      type: one.type,
      mode: one.mode,
      uid: one.uid,
      gid: one.gid,
      mtime: one.seconds,
      devMajor: one.major,
      devMinor: one.minor,
      content: one.type === '0' ? one.content : '',
      pax: [['path', one.path], ['linkpath', one.link], ...one.xattrs.map(([name, value]): [string, Buffer] => [`SCHILY.xattr.${name}`, value])],
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 8 }), fc.integer({ min: 1, max: 5000 }), (samples, chunkBytes) => {
        const read = readArchive(tarOf(...samples.map(specOf)), chunkBytes);
        expect(read.map(foundIn)).toEqual(samples.map(expectedOf));
        for (const [index, { entry }] of read.entries()) {
          const last = new Map(samples[index]?.xattrs.map(([name, value]) => [name, value.toString('latin1')]));
          expect(new Map(entry.xattrs.map(({ name, value }) => [name, value.toString('latin1')]))).toEqual(last);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('damaged in any byte, is read or refused, but nothing else', () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 3 }), flips, fc.boolean(), (samples, damage, fixChecksums) => {
        const archive = tarOf(
          ...samples.map(
            (one): EntrySpec => ({
              name: 'n',
              type: one.type,
              content: one.content,
              pax: [
                ['path', one.path],
                ['GNU.sparse.map', '0,1'],
                ['GNU.sparse.size', '1'],
              ],
            }),
          ),
        );
        for (const [at, bits] of damage) archive[at % archive.length] = (archive[at % archive.length] ?? 0) ^ bits;
        if (fixChecksums) repairChecksums(archive);
        try {
          readArchive(archive, 700);
        } catch (error) {
          expect(isRootwrightError(error) && ['LAYER_INVALID', 'LIMIT_EXCEEDED'].includes(error.code), String(error)).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
  });
});

describeWith(['python3'], "tar: what Python's tarfile writes", () => {
  const SCRIPT = `
import base64, io, json, sys, tarfile
for number, case in enumerate(json.load(sys.stdin)):
    out = open("%s/%d" % (sys.argv[1], number), "wb")
    with tarfile.open(fileobj=out, mode="w", format=getattr(tarfile, case["format"]), errors="surrogateescape") as tar:
        for e in case["entries"]:
            name = lambda key: base64.b64decode(e[key]).decode("utf-8", "surrogateescape")
            t = tarfile.TarInfo(name("path"))
            t.type, t.mode, t.uid, t.gid, t.mtime = e["type"].encode(), e["mode"], e["uid"], e["gid"], e["seconds"]
            t.devmajor, t.devminor = e["major"], e["minor"]
            if t.type in (b"1", b"2"): t.linkname = name("link")
            data = base64.b64decode(e["content"]) if t.type == b"0" else b""
            t.size = len(data)
            tar.addfile(t, io.BytesIO(data))
    out.close()
`;

  it('is read back the same, PAX and GNU', () => {
    const cases = fc.sample(fc.record({ format: fc.constantFrom('PAX_FORMAT', 'GNU_FORMAT'), samples: fc.array(sample, { maxLength: 8 }) }), {
      numRuns: 300,
      seed: SEED,
    });
    const place = temporaryDirectory('tar-python');
    const input = cases.map(({ format, samples }) => ({
      format,
      entries: samples.map((one) => ({
        ...one,
        path: one.path.toString('base64'),
        link: one.link.toString('base64'),
        content: one.content.toString('base64'),
        xattrs: [],
      })),
    }));
    execFileSync('python3', ['-c', SCRIPT, place], { input: JSON.stringify(input) });
    for (const [index, { samples, format }] of cases.entries()) {
      const read = readArchive(readFileSync(join(place, String(index))));
      expect(read.map(foundIn), `seed ${SEED}, case ${index}, ${format}`).toEqual(samples.map(expectedOf));
    }
  });
});

/** A node of a random tree on disk. */
interface Node {
  readonly kind: 'file' | 'sparse' | 'link' | 'symlink' | 'fifo' | 'device';
  readonly directory: number;
  readonly name: Buffer;
  readonly other: Buffer;
  readonly content: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nanoseconds: bigint;
  readonly holes: readonly number[];
  readonly xattrs: ReadonlyArray<readonly [name: string, value: Buffer]>;
}

const node: fc.Arbitrary<Node> = fc.record({
  kind: fc.constantFrom('file', 'file', 'sparse', 'link', 'symlink', 'fifo', 'device'),
  directory: fc.nat(100),
  name: fc.oneof(
    nameBytes,
    fc.integer({ min: 101, max: 255 }).map((length) => Buffer.alloc(length, 'n')),
  ),
  other: path,
  content,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 2_000_000 }),
  gid: fc.integer({ min: 0, max: 2_000_000 }),
  nanoseconds: fc.bigInt({ min: 0n, max: 2n ** 33n * 1_000_000_000n - 1n }),
  holes: fc.array(fc.integer({ min: 1, max: 300_000 }), { maxLength: 30 }),
  xattrs: fc.array(
    fc.tuple(
      fc.stringMatching(/^user\.[a-z=%]{1,10}$/),
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 2 },
  ),
});

/** Makes the nodes below `root`, those whose name is taken left out; every third opens a directory for later ones. */
function makeTree(root: string, nodes: readonly Node[]): void {
  const files = openFileCalls();
  const directories: Buffer[] = [Buffer.from(root)];
  const linkable: Buffer[] = [];
  mkdirSync(root);
  const below = (parent: Buffer, name: Buffer): Buffer => Buffer.concat([parent, Buffer.from('/'), name]);
  for (const [index, one] of nodes.entries()) {
    const at = below(directories[one.directory % directories.length] as Buffer, one.name);
    try {
      if (index % 3 === 0) {
        mkdirSync(at);
        directories.push(at);
      } else {
        makeNode(files, at, one, linkable.at(one.directory % Math.max(linkable.length, 1)));
        // GNU tar keeps links of these alone.
        if (one.kind !== 'fifo' && one.kind !== 'device' && one.kind !== 'link') linkable.push(at);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

function makeNode(files: ReturnType<typeof openFileCalls>, at: Buffer, one: Node, linked: Buffer | undefined): void {
  if (one.kind === 'symlink') symlinkSync(one.other, at);
  else if (one.kind === 'link' && linked !== undefined) return linkSync(linked, at);
  else if (one.kind === 'fifo') files.mknod(at, 0o010000 | one.mode, 0, 0);
  else if (one.kind === 'device') files.mknod(at, 0o020000 | one.mode, one.uid % 4096, one.gid % 1_000_000);
  else {
    const fd = openSync(at, 'wx');
    let offset = 0;
    for (const hole of one.kind === 'sparse' ? one.holes : [0]) {
      offset += hole;
      writeSync(fd, one.content, 0, one.content.length, offset);
    }
    if (one.kind === 'sparse') ftruncateSync(fd, offset + one.mode + one.content.length);
    closeSync(fd);
    for (const [name, value] of one.xattrs) files.setXattr(at, name, value);
    chownSync(at, one.uid, one.gid);
    chmodSync(at, one.mode);
  }
  files.setTimes(at, undefined, one.nanoseconds);
  return undefined;
}

describeWith(['tar'], 'tar: random trees that GNU tar packs', () => {
  const pax = ['--format=pax', '--pax-option=exthdr.name=%d/PaxHeaders/%f', '--xattrs', '--xattrs-include=*'];
  const sparse = ['0.0', '0.1', '1.0'].map((version) => [...pax, '--sparse', `--sparse-version=${version}`]);
  const options = fc.constantFrom(pax, ...sparse, ['--format=gnu'], ['--format=gnu', '--sparse'], ['--format=ustar']);

  it('come out of a layer as they are', async () => {
    let packed = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(node, { maxLength: 16 }), options, async (nodes, format) => {
        const place = makeDirectory('tar-tree');
        try {
          const source = join(place, 'source');
          makeTree(source, nodes);
          try {
            execFileSync('tar', [...format, '-C', source, '-cf', join(place, 'tar'), '.'], { stdio: 'pipe' });
          } catch (error) {
            // ustar has no room for long names; tar says so and leaves them out.
            fc.pre(!format.includes('--format=ustar'));
            throw error;
          }
          packed += 1;
          const { target } = await unpackArchive(readFileSync(join(place, 'tar')), place);
          const whole = format.includes('--format=pax');
          const differences = diffTrees(readTree(source), readTree(target)).filter(
            ({ field, expected, actual }) =>
              whole || !(field === 'xattrs' || (field === 'modified' && expected?.slice(0, -9) === actual?.slice(0, -9))),
          );
          expect(differences.map(showDifference)).toEqual([]);
        } finally {
          removeDirectory(place);
        }
      }),
      { numRuns: 50 },
    );
    expect(packed).toBeGreaterThan(25);
  });
});

/** Names that try to get out, and names that meet each other. */
const hostileName = fc.oneof(
  fc.constantFrom('a', 'b', 'a/b', 'a/b/c', 'b/c', './a', 'a/', 'd', 'd/e', '.wh.a', 'a/.wh.b', 'd/.wh..wh..opq', '.wh..wh..opq', '.wh.d'),
  fc.constantFrom('a', 'b', 'd', 'a/b', 'd/e', 'a/canary', 'd/canary', 'b/canary'),
  fc.constantFrom(
    '..',
    '../canary',
    'a/../../canary',
    '/tmp/canary',
    '/etc/canary',
    'a/..',
    './../canary',
    '//canary',
    '.',
    './',
    '',
    '.wh..',
    '.wh.',
  ),
);
const hostileTarget = fc.oneof(hostileName, fc.constantFrom('..', '../..', '../canary', '/', '/tmp', '../canary-directory', 'a', 'b'));
const hostileEntry: fc.Arbitrary<EntrySpec> = fc.record({
  name: hostileName,
  linkName: hostileTarget,
  type: fc.constantFrom('0', '0', '1', '2', '2', '5', '6', '3'),
  content: fc.constantFrom('', 'evil'),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.constantFrom(0, 1000),
});

describeRoot('tar: whatever the archive', () => {
  it('nothing outside the target changes; it is unpacked, or refused and gone', async () => {
    const outcomes = { unpacked: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(hostileEntry, { minLength: 1, maxLength: 12 }), fc.constantFrom('plain', 'overlay'), async (entries, form) => {
        const place = makeDirectory('tar-hostile');
        try {
          writeFileSync(join(place, 'canary'), 'untouched', { mode: 0o600 });
          execFileSync('mkdir', [join(place, 'canary-directory'), join(place, 'inner')]);
          const outside = (): unknown => [...readTree(place)].filter(([name]) => name !== '' && name !== 'inner' && !name.startsWith('inner/'));
          const before = outside();
          const refused: unknown = await unpackArchive(
            tarOf(
              ...entries.map((entry) => ({
                ...entry,
                size: entry.type === '0' ? Buffer.byteLength(entry.content ?? '') : 0,
                content: entry.type === '0' ? (entry.content ?? '') : '',
              })),
            ),
            join(place, 'inner'),
            { form },
          ).then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(outside()).toEqual(before);
          const left = [...readTree(join(place, 'inner')).keys()].filter((name) => name !== '' && !name.startsWith('blob-'));
          if (refused === undefined) {
            outcomes.unpacked += 1;
            expect(left[0] === undefined || left.some((name) => name === 'layer')).toBe(true);
          } else {
            outcomes.refused += 1;
            expect(isRootwrightError(refused) && ['LAYER_UNSAFE', 'LAYER_INVALID'].includes(refused.code), inspect(refused)).toBe(true);
            expect(left).toEqual([]);
          }
        } finally {
          removeDirectory(place);
        }
      }),
      { numRuns: 150 },
    );
    // Both must come up, or the test says nothing.
    expect(Math.min(outcomes.unpacked, outcomes.refused)).toBeGreaterThan(5);
  });
});

/** ROOTWRIGHT_SEED repeats a run. */
const SEED = Number(process.env['ROOTWRIGHT_SEED'] ?? Date.now() % 2 ** 31);

function repairChecksums(archive: Buffer): void {
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    if (archive.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    archive.fill(' ', at + 148, at + 156);
    const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
}
