import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ErrorCode } from '../../../src/errors.ts';
import { LIMITS } from '../../../src/limits.ts';
import {
  makeTar,
  sha256,
  writeBlob,
  writeDockerArchive,
  writeIndex,
  writeOciLayout,
  type BuiltImage,
  type LayerEntry,
} from '../../support/image-builder.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openStore } from './open-store.ts';

const LAYERS = [{ entries: [{ path: 'a', content: 'a' }] }, { entries: [{ path: 'b', content: 'b'.repeat(2000) }] }];
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

interface Layout {
  readonly directory: string;
  readonly image: BuiltImage;
}

const blobPath = (layout: Layout, digest: string): string => join(layout.directory, 'blobs', 'sha256', digest.slice(7));
const readManifest = (layout: Layout): Manifest => JSON.parse(readFileSync(blobPath(layout, layout.image.manifestDigest), 'utf8')) as Manifest;

interface Manifest extends Record<string, unknown> {
  config: Record<string, unknown>;
  layers: Array<Record<string, unknown>>;
}

/** Replaces the layout's manifest by `change` of it, with index.json right for it. */
function changeManifest(layout: Layout, change: (manifest: Manifest) => unknown): void {
  const bytes = JSON.stringify(change(readManifest(layout)));
  writeIndex(layout.directory, [{ mediaType: MANIFEST, digest: writeBlob(layout.directory, bytes), size: Buffer.byteLength(bytes) }]);
}

/** Replaces the config likewise. */
function changeConfig(layout: Layout, change: (config: Record<string, unknown>) => unknown): void {
  const bytes = JSON.stringify(change(JSON.parse(layout.image.config.toString()) as Record<string, unknown>));
  changeManifest(layout, (manifest) => ({
    ...manifest,
    config: { ...manifest.config, digest: writeBlob(layout.directory, bytes), size: Buffer.byteLength(bytes) },
  }));
}

/** Indexes nested so deep, an image at the bottom. */
function nest(layout: Layout, depth: number): void {
  let descriptor: unknown = { mediaType: MANIFEST, digest: layout.image.manifestDigest, size: JSON.stringify(readManifest(layout)).length };
  for (let level = 1; level < depth; level += 1) {
    const bytes = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [descriptor] });
    descriptor = { mediaType: INDEX, digest: writeBlob(layout.directory, bytes), size: bytes.length };
  }
  writeIndex(layout.directory, [descriptor]);
}

const indexFile = (layout: Layout): string => join(layout.directory, 'index.json');

const BAD_LAYOUTS: ReadonlyArray<readonly [what: string, code: ErrorCode, spoil: (layout: Layout) => void]> = [
  ['without index.json', 'IMAGE_NOT_FOUND', (layout) => rmSync(indexFile(layout))],
  ['without oci-layout', 'IMAGE_NOT_FOUND', ({ directory }) => rmSync(join(directory, 'oci-layout'))],
  [
    'of a layout version to come',
    'IMAGE_UNSUPPORTED',
    ({ directory }) => writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}'),
  ],
  ['with an oci-layout that is none', 'IMAGE_INVALID', ({ directory }) => writeFileSync(join(directory, 'oci-layout'), '{}')],
  ['with an empty index', 'IMAGE_NOT_FOUND', ({ directory }) => writeIndex(directory, [])],
  ['with a truncated index', 'IMAGE_INVALID', (layout) => truncateSync(indexFile(layout), 50)],
  [
    'with an index that is not UTF-8',
    'IMAGE_INVALID',
    (layout) => writeFileSync(indexFile(layout), Buffer.from('{"schemaVersion":2,"manifests":[],"x":"\xff"}', 'latin1')),
  ],
  ['with an index of schema 1', 'IMAGE_INVALID', (layout) => writeFileSync(indexFile(layout), '{"schemaVersion":1,"manifests":[]}')],
  [
    'with an index that could be a manifest too (CVE-2021-41190)',
    'IMAGE_INVALID',
    (layout) => writeFileSync(indexFile(layout), '{"schemaVersion":2,"manifests":[],"layers":[]}'),
  ],
  ['with an oversize index', 'LIMIT_EXCEEDED', (layout) => writeFileSync(indexFile(layout), ' '.repeat(LIMITS.manifestBytes + 1))],
  ['with a directory for an index', 'IMAGE_INVALID', (layout) => replaceByDirectory(indexFile(layout))],
  [
    'with a digest that leads elsewhere',
    'IMAGE_INVALID',
    ({ directory }) => writeIndex(directory, [{ mediaType: MANIFEST, digest: 'sha256:../../../index.json', size: 1 }]),
  ],
  [
    'with a digest of another kind',
    'IMAGE_UNSUPPORTED',
    ({ directory }) => writeIndex(directory, [{ mediaType: MANIFEST, digest: 'sha3-256:00', size: 1 }]),
  ],
  [
    'with an unknown manifest type',
    'IMAGE_UNSUPPORTED',
    (layout) => writeIndex(layout.directory, [{ mediaType: 'text/plain', digest: layout.image.manifestDigest, size: 1 }]),
  ],
  [
    'with a negative size',
    'IMAGE_INVALID',
    (layout) => writeIndex(layout.directory, [{ mediaType: MANIFEST, digest: layout.image.manifestDigest, size: -1 }]),
  ],
  [
    'with a wrong manifest size',
    'IMAGE_INVALID',
    (layout) => writeIndex(layout.directory, [{ mediaType: MANIFEST, digest: layout.image.manifestDigest, size: 1 }]),
  ],
  ['without its manifest', 'IMAGE_INVALID', (layout) => rmSync(blobPath(layout, layout.image.manifestDigest))],
  ['with a changed manifest', 'DIGEST_MISMATCH', (layout) => flipByte(blobPath(layout, layout.image.manifestDigest))],
  ['whose manifest says it is an index', 'IMAGE_INVALID', (layout) => changeManifest(layout, (manifest) => ({ ...manifest, mediaType: INDEX }))],
  ['whose manifest is of schema 1', 'IMAGE_UNSUPPORTED', (layout) => changeManifest(layout, () => ({ schemaVersion: 1, fsLayers: [], history: [] }))],
  ['that is an artifact', 'IMAGE_UNSUPPORTED', (layout) => changeManifest(layout, (manifest) => ({ ...manifest, artifactType: 'application/x' }))],
  [
    'whose config is none',
    'IMAGE_UNSUPPORTED',
    (layout) => changeManifest(layout, ({ config, ...rest }) => ({ ...rest, config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' } })),
  ],
  [
    'with an unknown layer type',
    'IMAGE_UNSUPPORTED',
    (layout) => changeLayer(layout, { mediaType: 'application/vnd.oci.image.layer.v1.tar+encrypted' }),
  ],
  [
    'with too many layers',
    'LIMIT_EXCEEDED',
    (layout) => changeManifest(layout, (manifest) => ({ ...manifest, layers: Array(LIMITS.layersPerRootfs + 1).fill(manifest.layers[0]) })),
  ],
  [
    'with an oversize manifest',
    'LIMIT_EXCEEDED',
    (layout) => changeManifest(layout, (manifest) => ({ ...manifest, padding: 'x'.repeat(LIMITS.manifestBytes) })),
  ],
  ['without its config', 'IMAGE_INVALID', (layout) => rmSync(blobPath(layout, layout.image.configDigest))],
  ['with a changed config', 'DIGEST_MISMATCH', (layout) => flipByte(blobPath(layout, layout.image.configDigest))],
  [
    'with fewer diff ids than layers',
    'IMAGE_INVALID',
    (layout) => changeConfig(layout, (config) => ({ ...config, rootfs: { type: 'layers', diff_ids: [layout.image.layers[0]?.diffId] } })),
  ],
  [
    'with a diff id that is none',
    'IMAGE_INVALID',
    (layout) => changeConfig(layout, (config) => ({ ...config, rootfs: { type: 'layers', diff_ids: ['..', '/etc'] } })),
  ],
  [
    'with another diff id',
    'DIGEST_MISMATCH',
    (layout) =>
      changeConfig(layout, (config) => ({ ...config, rootfs: { type: 'layers', diff_ids: [layout.image.layers[0]?.diffId, sha256('x')] } })),
  ],
  ['without a layer', 'IMAGE_INVALID', (layout) => rmSync(blobPath(layout, layout.image.layers[1]?.digest ?? ''))],
  ['with a truncated layer', 'IMAGE_INVALID', (layout) => truncateSync(blobPath(layout, layout.image.layers[1]?.digest ?? ''), 20)],
  [
    'with bytes behind a layer',
    'IMAGE_INVALID',
    (layout) => writeFileSync(blobPath(layout, layout.image.layers[1]?.digest ?? ''), 'more', { flag: 'a' }),
  ],
  ['with a changed layer', 'DIGEST_MISMATCH', (layout) => flipByte(blobPath(layout, layout.image.layers[1]?.digest ?? ''))],
  ['with a directory for a blob', 'IMAGE_INVALID', (layout) => replaceByDirectory(blobPath(layout, layout.image.manifestDigest))],
  ['with a link to another file for a blob', 'IMAGE_INVALID', (layout) => replaceByLink(blobPath(layout, layout.image.configDigest), '/etc/passwd')],
  ['with indexes nested too deep', 'LIMIT_EXCEEDED', (layout) => nest(layout, LIMITS.indexDepth + 1)],
  ['with an index that leads to itself', 'DIGEST_MISMATCH', (layout) => pointToItself(layout)],
  ['for another platform only', 'PLATFORM_NOT_FOUND', (layout) => forOtherPlatforms(layout)],
];

function flipByte(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function replaceByDirectory(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function replaceByLink(path: string, target: string): void {
  rmSync(path);
  symlinkSync(target, path);
}

function changeLayer(layout: Layout, change: Record<string, unknown>): void {
  changeManifest(layout, (manifest) => ({ ...manifest, layers: manifest.layers.map((layer, at) => (at === 1 ? { ...layer, ...change } : layer)) }));
}

/** As near as one gets: an index can't name its own digest, so what lies there is found not to be it. */
function pointToItself({ directory }: Layout): void {
  const digest = sha256('anything');
  const descriptor = { mediaType: INDEX, digest, size: 0 };
  for (let round = 0; round < 3; round += 1) descriptor.size = JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }).length;
  writeFileSync(join(directory, 'blobs', 'sha256', digest.slice(7)), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));
  writeIndex(directory, [descriptor]);
}

function forOtherPlatforms(layout: Layout): void {
  const image = { mediaType: MANIFEST, digest: layout.image.manifestDigest, size: 1 };
  writeIndex(layout.directory, [
    { ...image, platform: { os: 'linux', architecture: 's390x' } },
    { ...image, platform: { os: 'plan9', architecture: 'mips' } },
    { ...image, platform: { os: 'unknown', architecture: 'unknown' } },
  ]);
}

describe('an OCI layout', () => {
  it.each(BAD_LAYOUTS)('%s fails with %s, and nothing is left but whole layers', async (_what, code, spoil) => {
    const { directory, image, name } = layout();
    spoil({ directory, image });
    await expectRefused(name, code, [image.layers[0]?.diffId ?? '']);
  });

  it('for other platforms only tells which there are', async () => {
    const { directory, image, name } = layout();
    forOtherPlatforms({ directory, image });
    const { store } = await open();
    await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ details: { offered: ['linux/s390x', 'plan9/mips'] } });
  });

  it('that can not be read is an IO_ERROR', async () => {
    const { directory, name } = layout();
    symlinkSync('index.json', join(directory, 'loop'));
    rmSync(join(directory, 'index.json'));
    renameSync(join(directory, 'loop'), join(directory, 'index.json'));
    const { store } = await open();
    await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    if (process.getuid?.() === 0) return;
    rmSync(join(directory, 'index.json'));
    writeFileSync(join(directory, 'index.json'), '{}');
    chmodSync(join(directory, 'index.json'), 0);
    await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ code: 'IO_ERROR' });
  });
});

const config = (diffIds: string[]): string => JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } });
const layerTar = makeTar([{ path: 'a', content: 'a' }]);
const manifest = (entry: Record<string, unknown>): LayerEntry => ({
  path: 'manifest.json',
  content: JSON.stringify([{ Config: 'config.json', RepoTags: ['x:latest'], Layers: ['layer.tar'], ...entry }]),
});
const GOOD_CONFIG: LayerEntry = { path: 'config.json', content: config([sha256(layerTar)]) };
const GOOD_LAYER: LayerEntry = { path: 'layer.tar', content: layerTar };
const v1 = (id: string, parent?: string): LayerEntry => ({ path: `${id}/json`, content: JSON.stringify({ id, parent }) });
const repositories: LayerEntry = { path: 'repositories', content: JSON.stringify({ x: { latest: 'top' } }) };

const BAD_ARCHIVES: ReadonlyArray<readonly [what: string, code: ErrorCode, content: readonly LayerEntry[] | Buffer]> = [
  ['that is empty', 'IMAGE_INVALID', Buffer.alloc(0)],
  ['that is no tar', 'IMAGE_INVALID', Buffer.alloc(2048, 'text ')],
  ['with none of the three kinds of content', 'IMAGE_INVALID', [GOOD_LAYER]],
  ['that is cut in a member', 'IMAGE_INVALID', makeTar([GOOD_CONFIG, GOOD_LAYER, manifest({})]).subarray(0, 2000)],
  ['that is cut in a header', 'IMAGE_INVALID', makeTar([GOOD_CONFIG, GOOD_LAYER, manifest({})]).subarray(0, 1024 + 100)],
  ['with a member larger than the archive', 'IMAGE_INVALID', withSize(makeTar([GOOD_LAYER]), '77777777777')],
  ['that is damaged gzip', 'IMAGE_INVALID', gzipSync(makeTar([GOOD_LAYER])).subarray(0, 60)],
  ['that is zstd as a whole', 'IMAGE_UNSUPPORTED', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0])],
  ['whose manifest.json is no list', 'IMAGE_INVALID', [{ path: 'manifest.json', content: '{}' }]],
  ['whose manifest.json is truncated', 'IMAGE_INVALID', [{ path: 'manifest.json', content: '[{"Config"' }]],
  ['whose manifest.json is oversize', 'LIMIT_EXCEEDED', [{ path: 'manifest.json', content: ' '.repeat(LIMITS.manifestBytes + 1) }]],
  ['without the image of that name', 'IMAGE_NOT_FOUND', [manifest({ RepoTags: ['y:latest'] }), GOOD_CONFIG, GOOD_LAYER]],
  ['without its config', 'IMAGE_INVALID', [manifest({}), GOOD_LAYER]],
  [
    'whose config is not what its name says',
    'DIGEST_MISMATCH',
    [manifest({ Config: `${'0'.repeat(64)}.json` }), { ...GOOD_CONFIG, path: `${'0'.repeat(64)}.json` }, GOOD_LAYER],
  ],
  ['whose config path leads out of it', 'IMAGE_INVALID', [manifest({ Config: '../../etc/passwd' }), GOOD_LAYER]],
  ['whose layer path is absolute', 'IMAGE_INVALID', [manifest({ Layers: ['/etc/passwd'] }), GOOD_CONFIG]],
  [
    'whose layer is a link out of it',
    'IMAGE_INVALID',
    [manifest({}), GOOD_CONFIG, { path: 'layer.tar', type: 'symlink', target: '../../../etc/passwd' }],
  ],
  ['whose layer is an absolute link', 'IMAGE_INVALID', [manifest({}), GOOD_CONFIG, { path: 'layer.tar', type: 'symlink', target: '/etc/passwd' }]],
  [
    'whose layer links in a circle',
    'IMAGE_INVALID',
    [manifest({}), GOOD_CONFIG, { path: 'layer.tar', type: 'symlink', target: 'b' }, { path: 'b', type: 'symlink', target: 'layer.tar' }],
  ],
  ['whose layer is a directory', 'IMAGE_INVALID', [manifest({}), GOOD_CONFIG, { path: 'layer.tar/' }]],
  ['with fewer diff ids than layers', 'IMAGE_INVALID', [manifest({}), { ...GOOD_CONFIG, content: config([]) }, GOOD_LAYER]],
  ['with another diff id', 'DIGEST_MISMATCH', [manifest({}), { ...GOOD_CONFIG, content: config([sha256('x')]) }, GOOD_LAYER]],
  ['with too many layers', 'LIMIT_EXCEEDED', [manifest({ Layers: Array(LIMITS.layersPerRootfs + 1).fill('layer.tar') }), GOOD_CONFIG, GOOD_LAYER]],
  ['of the old kind without the image', 'IMAGE_NOT_FOUND', [{ ...repositories, content: '{"y":{"latest":"top"}}' }, v1('top')]],
  ['of the old kind without a json', 'IMAGE_INVALID', [repositories, { path: 'top/layer.tar', content: layerTar }]],
  ['of the old kind without a layer', 'IMAGE_INVALID', [repositories, v1('top')]],
  ['of the old kind whose parents go round', 'IMAGE_INVALID', [repositories, v1('top', 'low'), v1('low', 'top')]],
  ['of the old kind whose id is a path', 'IMAGE_INVALID', [{ ...repositories, content: '{"x":{"latest":"../../etc"}}' }]],
  ['of the old kind whose parent is no string', 'IMAGE_INVALID', [repositories, { path: 'top/json', content: '{"parent":1}' }]],
];

function withSize(tar: Buffer, octal: string): Buffer {
  tar.write(octal, 124, 'latin1');
  tar.fill(' ', 148, 156);
  tar.write(
    `${tar
      .subarray(0, 512)
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  );
  return tar;
}

describe('a docker-archive', () => {
  it.each(BAD_ARCHIVES)('%s fails with %s, and nothing is left but whole layers', async (_what, code, content) => {
    const file = join(temporaryDirectory('images'), 'a.tar');
    writeFileSync(file, Buffer.isBuffer(content) ? content : makeTar(content));
    await expectRefused(`docker-archive:${file}:x`, code, []);
  });

  it.each(['current', 'legacy', 'oci', 'both'] as const)('(%s) lists the images it has where none of them was meant', async (layout) => {
    const file = join(temporaryDirectory('images'), 'a.tar');
    writeDockerArchive(
      file,
      LAYERS.map((layer, at) => ({ layers: [layer], tag: `image${at}:v${at}` })),
      layout,
    );
    const { store } = await open();
    await expect(store.get(`docker-archive:${file}`, { form: 'plain' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringMatching(/v0.*v1/),
    });
    await expect(store.get(`docker-archive:${file}:@2`, { form: 'plain' })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });

  it('that is not there, or a directory, is not found', async () => {
    const directory = temporaryDirectory('images');
    const { store } = await open();
    for (const path of [join(directory, 'none'), directory, join(directory, 'none', 'deeper')])
      await expect(store.get(`docker-archive:${path}`, { form: 'plain' })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });
});

function layout(): Layout & { name: string } {
  const directory = temporaryDirectory('images');
  const [image] = writeOciLayout(directory, [{ layers: LAYERS }]);
  if (image === undefined) throw new Error('one image was written');
  return { directory, image, name: `oci:${directory}` };
}

async function open(): Promise<Awaited<ReturnType<typeof openStore>>> {
  const opened = await openStore(temporaryDirectory('store'));
  onTestFinished(() => opened.close());
  return opened;
}

async function expectRefused(name: string, code: ErrorCode, wholeLayers: readonly string[]): Promise<void> {
  const { store, directory } = await open();
  await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ name: 'RootwrightError', code });
  expect(Object.fromEntries(['staging', 'images', 'configs', 'gc'].map((sub) => [sub, readdirSync(join(directory, sub))]))).toEqual({
    staging: [],
    images: [],
    configs: [],
    gc: [],
  });
  for (const layer of readdirSync(join(directory, 'layers'))) {
    expect(wholeLayers).toContain(layer);
    expect(existsSync(join(directory, 'layers', layer, 'rootfs', 'a'))).toBe(true);
  }
  expect(await store.list()).toEqual([]);
}
