import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { GetOptions, ImageInfo } from '../../../src/stores/store.ts';
import {
  buildLayer,
  makeTar,
  sha256,
  writeBlob,
  writeDockerArchive,
  writeIndex,
  writeOciLayout,
  type LayerEntry,
  type LayerSpec,
} from '../../support/image-builder.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openStore } from './open-store.ts';

const file = (name: string): LayerSpec => ({ entries: [{ path: name, content: name }] });
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

async function get(name: string, options: Partial<GetOptions> = {}): Promise<ImageInfo> {
  const { store, close } = await openStore(temporaryDirectory('store'));
  onTestFinished(close);
  return store.get(name, { form: 'plain', ...options });
}

/** The content of the only layer's only file: which of several images was taken. */
async function taken(name: string, options: Partial<GetOptions> = {}): Promise<string> {
  const { layers } = await get(name, options);
  expect(layers).toHaveLength(1);
  return readFileSync(join(layers[0]?.path ?? '', 'which'), 'utf8');
}

const which = (content: string): LayerSpec[] => [{ entries: [{ path: 'which', content }] }];

describe('an OCI layout', () => {
  it('is searched by tag, by position, and without either where it has one image', async () => {
    const directory = temporaryDirectory('images');
    const tags = ['v1', 'v2', 'docker.io/library/x:v3'];
    writeOciLayout(
      directory,
      tags.map((tag) => ({ layers: which(tag), tag })),
    );
    for (const tag of tags) expect(await taken(`oci:${directory}:${tag}`)).toBe(tag);
    expect(await taken(`oci:${directory}:@1`)).toBe('v2');
    await expect(taken(`oci:${directory}`)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      details: { tags: ['docker.io/library/x:v3', 'v1', 'v2'] },
    });
    await expect(taken(`oci:${directory}:v4`)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND', message: expect.stringContaining('v1, v2') });
    await expect(taken(`oci:${directory}:@3`)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    writeOciLayout(directory, [{ layers: which('only'), tag: 'v1' }]);
    expect(await taken(`oci:${directory}`)).toBe('only');
  });

  it('gives each platform its image, under one tag', async () => {
    const directory = temporaryDirectory('images');
    const platforms = [
      { os: 'linux', architecture: 'arm', variant: 'v5' },
      { os: 'linux', architecture: 'arm', variant: 'v6' },
      { os: 'linux', architecture: 'arm64', variant: 'v8' },
      { os: 'linux', architecture: 'amd64' },
      { os: 'windows', architecture: 'amd64' },
    ];
    writeOciLayout(
      directory,
      platforms.map((platform) => ({ layers: which(Object.values(platform).join('/')), tag: 'v1', platform })),
    );
    const name = `oci:${directory}:v1`;
    expect(await taken(name, { platform: { os: 'linux', architecture: 'aarch64' } })).toBe('linux/arm64/v8');
    expect(await taken(name, { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } })).toBe('linux/arm/v6');
    expect(await taken(name, { platform: { os: 'windows', architecture: 'amd64' } })).toBe('windows/amd64');
    await expect(taken(name, { platform: { os: 'linux', architecture: 's390x' } })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
      details: { wanted: 'linux/s390x', offered: ['linux/amd64', 'linux/arm/v5', 'linux/arm/v6', 'linux/arm64/v8', 'windows/amd64'] },
    });
  });

  it('keeps the images of two platforms apart', async () => {
    const directory = temporaryDirectory('images');
    const [arm, mips] = [
      { os: 'linux', architecture: 'arm64' },
      { os: 'linux', architecture: 'mips' },
    ];
    writeOciLayout(
      directory,
      [arm, mips].map((platform) => ({ layers: which(platform.architecture), tag: 'v1', platform })),
    );
    const { store, close } = await openStore(temporaryDirectory('store'));
    onTestFinished(close);
    const first = await store.get(`oci:${directory}:v1`, { form: 'plain', platform: arm });
    const second = await store.get(`oci:${directory}:v1`, { form: 'plain', platform: mips });
    expect(await store.get(`oci:${directory}:v1`, { form: 'plain', platform: arm })).toEqual(first);
    expect(second.configDigest).not.toBe(first.configDigest);
    expect((await store.list()).map((image) => image.platform)).toEqual([arm, mips]);
    expect(await store.prune({ keepImages: [first.name], keepIds: new Set() })).toMatchObject({ images: [] });
  });

  it('is searched through nested indexes, past attestations and artifacts, and where only the config tells the platform', async () => {
    const directory = temporaryDirectory('images');
    const [image] = writeOciLayout(directory, [{ layers: which('found') }]);
    const manifest = readFileSync(join(directory, 'blobs', 'sha256', image?.manifestDigest.slice(7) ?? ''), 'utf8');
    const put = (document: Record<string, unknown>, mediaType: string): Record<string, unknown> => {
      const bytes = JSON.stringify(document);
      return { mediaType, digest: writeBlob(directory, bytes), size: bytes.length };
    };
    const artifact = put({ ...(JSON.parse(manifest) as object), artifactType: 'application/x' }, MANIFEST);
    const attestation = { ...artifact, platform: { os: 'unknown', architecture: 'unknown' } };
    const real = { mediaType: MANIFEST, digest: image?.manifestDigest, size: manifest.length };
    const empty = put({ schemaVersion: 2, manifests: [] }, INDEX);
    const inner = put(
      { schemaVersion: 2, mediaType: INDEX, manifests: [attestation, { mediaType: 'text/plain', digest: sha256(''), size: 0 }, artifact, real] },
      INDEX,
    );
    writeIndex(directory, [put({ schemaVersion: 2, manifests: [empty, inner] }, INDEX)]);
    expect(await taken(`oci:${directory}`)).toBe('found');
  });

  it('with one image of another platform is taken, unless the caller named one', async () => {
    const directory = temporaryDirectory('images');
    writeOciLayout(directory, [{ layers: which('foreign'), platform: { os: 'linux', architecture: 's390x' } }]);
    expect(await taken(`oci:${directory}`)).toBe('foreign');
    await expect(taken(`oci:${directory}`, { platform: { os: 'linux', architecture: 'amd64' } })).rejects.toMatchObject({
      code: 'PLATFORM_NOT_FOUND',
    });
  });

  it.each(['none', 'gzip', 'zstd'] as const)('may have layers packed by %s', async (compression) => {
    const directory = temporaryDirectory('images');
    writeOciLayout(directory, [{ layers: which(compression).map((layer) => ({ ...layer, compression })) }]);
    expect(await taken(`oci:${directory}`)).toBe(compression);
  });

  it("may use Docker's media types, SHA-512, and fields that nobody knows", async () => {
    const directory = temporaryDirectory('images');
    writeOciLayout(directory, []);
    const layer = buildLayer({ entries: [{ path: 'which', content: 'docker' }] });
    const hash512 = createHash('sha512').update(layer.blob).digest('hex');
    mkdirSync(join(directory, 'blobs', 'sha512'));
    writeFileSync(join(directory, 'blobs', 'sha512', hash512), layer.blob);
    const config = JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      variant: null,
      'moby.unknown': { kept: [1] },
      rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    });
    const docker = 'application/vnd.docker';
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: `${docker}.distribution.manifest.v2+json`,
      unknown: true,
      config: { mediaType: `${docker}.container.image.v1+json`, digest: writeBlob(directory, config), size: config.length },
      layers: [{ mediaType: `${docker}.image.rootfs.diff.tar.gzip`, digest: `sha512:${hash512}`, size: layer.blob.length, urls: null }],
    });
    const list = JSON.stringify({
      schemaVersion: 2,
      mediaType: `${docker}.distribution.manifest.list.v2+json`,
      manifests: [
        {
          mediaType: `${docker}.distribution.manifest.v2+json`,
          digest: writeBlob(directory, manifest),
          size: manifest.length,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    });
    writeIndex(directory, [{ mediaType: `${docker}.distribution.manifest.list.v2+json`, digest: writeBlob(directory, list), size: list.length }]);
    const image = await get(`oci:${directory}`, { platform: { os: 'linux', architecture: 'amd64' } });
    expect(image.config).toEqual(JSON.parse(config));
    expect(image.manifestDigest).toBe(sha256(manifest));
    expect(readFileSync(join(image.layers[0]?.path ?? '', 'which'), 'utf8')).toBe('docker');
  });

  it('may link its blobs to files elsewhere', async () => {
    const directory = temporaryDirectory('images');
    writeOciLayout(join(directory, 'layout'), [{ layers: which('linked') }]);
    renameSync(join(directory, 'layout', 'blobs', 'sha256'), join(directory, 'shared'));
    mkdirSync(join(directory, 'layout', 'blobs', 'sha256'));
    for (const blob of readdirSync(join(directory, 'shared')))
      symlinkSync(join('../../../shared', blob), join(directory, 'layout', 'blobs', 'sha256', blob));
    expect(await taken(`oci:${join(directory, 'layout')}`)).toBe('linked');
  });
});

describe('a docker-archive', () => {
  const archivePath = (): string => join(temporaryDirectory('images'), 'a.tar');

  it.each(['current', 'legacy'] as const)('(%s) is searched by name, in any of its forms, and by position (MESOS-5009)', async (layout) => {
    const path = archivePath();
    writeDockerArchive(
      path,
      [
        { layers: which('one'), tag: 'one:v1' },
        { layers: which('two'), tag: 'reg.example:5000/team/two:latest' },
      ],
      layout,
    );
    expect(await taken(`docker-archive:${path}:one:v1`)).toBe('one');
    expect(await taken(`docker-archive:${path}:docker.io/library/one:v1`)).toBe('one');
    expect(await taken(`docker-archive:${path}:reg.example:5000/team/two`)).toBe('two');
    expect(await taken(`docker-archive:${path}:@1`)).toBe('two');
    await expect(taken(`docker-archive:${path}:one`)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
  });

  it('has the digest of its config where it has no manifest, and that of the manifest where it is a layout', async () => {
    const path = archivePath();
    const [plain] = writeDockerArchive(path, [{ layers: [file('a')], tag: 'x:v1' }]);
    expect(await get(`docker-archive:${path}`)).toMatchObject({ manifestDigest: plain?.configDigest, configDigest: plain?.configDigest });
    const [layout] = writeDockerArchive(path, [{ layers: [file('a')], tag: 'x:v1' }], 'both');
    expect(await get(`docker-archive:${path}:x:v1`)).toMatchObject({ manifestDigest: layout?.manifestDigest, configDigest: layout?.configDigest });
    expect(await get(`docker-archive:${path}:@0`)).toMatchObject({ manifestDigest: layout?.configDigest });
  });

  it.each([
    ['current', 'gzip'],
    ['current', 'zstd'],
    ['legacy', 'gzip'],
  ] as const)('(%s) may have layers packed by %s', async (layout, compression) => {
    const path = archivePath();
    writeDockerArchive(path, [{ layers: which(compression).map((layer) => ({ ...layer, compression })), tag: 'x:v1' }], layout);
    expect(await taken(`docker-archive:${path}`)).toBe(compression);
  });

  it('of the old kind gives the same ids at every pull, the same layers as any other source, and a config with all that v1 told', async () => {
    const path = archivePath();
    const layers = [file('a'), file('b'), file('a')];
    const [built] = writeDockerArchive(path, [{ layers, tag: 'x:v1', run: { Env: ['A=1'] } }], 'legacy');
    const first = await get(`docker-archive:${path}`);
    expect(await get(`docker-archive:${path}`)).toMatchObject({ manifestDigest: first.manifestDigest, configDigest: first.manifestDigest });
    const diffIds = built?.layers.map((layer) => layer.diffId) ?? [];
    expect(first.layers.map((layer) => layer.id)).toEqual(diffIds.slice(1));
    expect(first.config).toMatchObject({ os: 'linux', config: { Env: ['A=1'] }, rootfs: { type: 'layers', diff_ids: diffIds } });
    expect(first.config).not.toHaveProperty('parent');
  });

  it.each([
    ['a symlink', { type: 'symlink', target: '../low/layer.tar' }],
    ['a hard link', { type: 'hardlink', target: './low/layer.tar' }],
  ] as const)('may hold %s to a layer that came before', async (_what, link) => {
    const path = archivePath();
    const tar = makeTar([{ path: 'which', content: 'linked' }]);
    const v1 = (id: string, parent?: string): LayerEntry => ({ path: `./${id}/json`, content: JSON.stringify({ id, parent }) });
    const entries: LayerEntry[] = [v1('low'), { path: './low/layer.tar', content: tar }, v1('top', 'low'), { path: './top/layer.tar', ...link }];
    writeFileSync(path, makeTar([...entries, { path: './repositories', content: '{"x":{"latest":"top"}}' }]));
    expect(await taken(`docker-archive:${path}`)).toBe('linked');
  });

  it('is read with long names in PAX headers, and the last of two members of one name counts', async () => {
    const path = archivePath();
    const tar = makeTar([{ path: 'which', content: 'last' }]);
    const layer = `${'long-directory/'.repeat(20)}größe.tar`;
    const config = JSON.stringify({ rootfs: { type: 'layers', diff_ids: [sha256(tar)] } });
    const manifest = JSON.stringify([{ Config: 'config', RepoTags: null, Layers: [layer], Unknown: 1 }]);
    writeFileSync(
      path,
      makeTar([
        { path: layer, content: 'replaced' },
        { path: 'config', content: config },
        { path: layer, content: tar },
        { path: 'manifest.json', content: manifest },
      ]),
    );
    expect(await taken(`docker-archive:${path}`)).toBe('last');
  });
});
