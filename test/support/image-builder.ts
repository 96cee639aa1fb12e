import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';

/** One entry of a layer's tar. A string `content` is UTF-8; `type` is 'file' where it is not given, 'directory' for a path that ends in '/'. */
export interface LayerEntry {
  readonly path: string;
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';
  readonly content?: string | Buffer;
  /** Of a symlink or hard link. */
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch; a fraction goes into a PAX header. */
  readonly mtime?: number;
  readonly device?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, string | Buffer>>;
}

export type LayerCompression = 'none' | 'gzip' | 'zstd';

/** A layer as entries, or as the tar itself. */
export interface LayerSpec {
  readonly entries?: readonly LayerEntry[];
  readonly tar?: Buffer;
  /** gzip where it is not given. */
  readonly compression?: LayerCompression;
}

/** An image, lowest layer first. */
export interface ImageSpec {
  readonly layers: readonly LayerSpec[];
  /** `org.opencontainers.image.ref.name` in a layout, and its RepoTags entry in an archive (`name:tag`). */
  readonly tag?: string;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string };
  /** Merged into the config's `config`. */
  readonly run?: Readonly<Record<string, unknown>>;
}

/** A layer ready to be written. */
export interface BuiltLayer {
  readonly tar: Buffer;
  readonly diffId: string;
  /** As it lies in a layout. */
  readonly blob: Buffer;
  readonly digest: string;
  readonly mediaType: string;
}

export interface BuiltImage {
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly config: Buffer;
  readonly layers: readonly BuiltLayer[];
}

/** Writes an OCI image layout with these images, each an entry of index.json (in order, with its platform). */
export function writeOciLayout(directory: string, images: readonly ImageSpec[]): BuiltImage[] {
  mkdirSync(join(directory, 'blobs', 'sha256'), { recursive: true });
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const built = images.map((image) => ({ image, ...ociBlobs(image) }));
  for (const { blobs } of built) for (const blob of blobs) writeBlob(directory, blob);
  writeIndex(
    directory,
    built.map(({ image, result, manifest }) => ociDescriptor(image, result, manifest)),
  );
  return built.map(({ result }) => result);
}

/** Writes `bytes` as a blob of the layout; its digest. */
export function writeBlob(directory: string, bytes: Buffer | string): string {
  const digest = sha256(bytes);
  writeFileSync(join(directory, 'blobs', 'sha256', digest.slice('sha256:'.length)), bytes);
  return digest;
}

/** Writes index.json of the layout. */
export function writeIndex(directory: string, manifests: readonly unknown[]): void {
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}

/**
 * Writes a docker-archive. `current`: manifest.json with Config, RepoTags and Layers. `legacy`: `repositories` and `<id>/{VERSION,json,layer.tar}`
 * only; a layer that comes twice is a symlink the second time, as docker save has it. `oci`: an OCI layout inside the tar, with no manifest.json.
 * `both`: as docker save since version 25, an OCI layout with manifest.json beside. Layers are as their `compression` says, `none` where it is absent.
 */
export function writeDockerArchive(
  file: string,
  images: readonly ImageSpec[],
  layout: 'current' | 'legacy' | 'oci' | 'both' = 'current',
  compression: 'none' | 'gzip' = 'none',
): BuiltImage[] {
  const plain = images.map((image) => ({ ...image, layers: image.layers.map((layer) => ({ ...layer, compression: layer.compression ?? 'none' })) }));
  const { entries, built } =
    layout === 'legacy' ? legacyArchive(plain) : layout === 'current' ? currentArchive(plain) : ociArchive(plain, layout === 'both');
  const tar = makeTar(entries);
  writeFileSync(file, compression === 'gzip' ? zlib.gzipSync(tar) : tar);
  return built;
}

/** Packs a layer. */
export function buildLayer(layer: LayerSpec): BuiltLayer {
  const tar = layer.tar ?? makeTar(layer.entries ?? []);
  const compression = layer.compression ?? 'gzip';
  const blob = compress(tar, compression);
  const suffix = compression === 'none' ? '' : `+${compression}`;
  return { tar, diffId: sha256(tar), blob, digest: sha256(blob), mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}` };
}

/** A ustar archive, with PAX headers where an entry needs them. */
export function makeTar(entries: readonly LayerEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(tarEntry), Buffer.alloc(1024)]);
}

export const sha256 = (bytes: Buffer | string): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

function compress(tar: Buffer, compression: LayerCompression): Buffer {
  if (compression === 'none') return tar;
  return compression === 'gzip' ? zlib.gzipSync(tar) : zstd(tar);
}

/** By node:zlib (22.15 and later), the zstd program, or else as a frame of raw blocks, which any decoder reads. */
function zstd(bytes: Buffer): Buffer {
  const native = (zlib as { zstdCompressSync?: (bytes: Uint8Array) => Buffer }).zstdCompressSync;
  if (native !== undefined) return native(bytes);
  const program = spawnSync('zstd', ['-q', '-c'], { input: bytes, maxBuffer: 2 ** 30 });
  if (program.status === 0) return program.stdout;
  // RFC 8878: magic, a frame header without content size (window 1 MiB), blocks of type raw.
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50])];
  for (let offset = 0; offset === 0 || offset < bytes.length; offset += 0x10000) {
    const block = bytes.subarray(offset, offset + 0x10000);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (offset + 0x10000 >= bytes.length ? 1 : 0), 0, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

function configOf(image: ImageSpec, layers: readonly BuiltLayer[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      created: '2025-01-01T00:00:00Z',
      ...(image.platform ?? { os: 'linux', architecture: HERE }),
      config: { Env: ['PATH=/usr/bin:/bin'], Cmd: ['/bin/sh'], ...image.run },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    }),
  );
}

function ociBlobs(image: ImageSpec): { result: BuiltImage; manifest: Buffer; blobs: Buffer[] } {
  const layers = image.layers.map(buildLayer);
  const config = configOf(image, layers);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
      layers: layers.map((layer) => ({ mediaType: layer.mediaType, digest: layer.digest, size: layer.blob.length })),
    }),
  );
  const result = { manifestDigest: sha256(manifest), configDigest: sha256(config), config, layers };
  return { result, manifest, blobs: [...layers.map((layer) => layer.blob), config, manifest] };
}

function ociDescriptor(image: ImageSpec, result: BuiltImage, manifest: Buffer, extra: Record<string, string> = {}): Record<string, unknown> {
  return {
    mediaType: MANIFEST,
    digest: result.manifestDigest,
    size: manifest.length,
    platform: image.platform ?? { os: 'linux', architecture: HERE },
    ...(image.tag === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': image.tag, ...extra } }),
  };
}

function currentArchive(images: readonly ImageSpec[]): { entries: LayerEntry[]; built: BuiltImage[] } {
  const entries = new Map<string, LayerEntry>();
  const add = (path: string, content: Buffer | string): void => void entries.set(path, { path, content });
  const manifest: unknown[] = [];
  const built = images.map((image) => {
    const layers = image.layers.map(buildLayer);
    const config = configOf(image, layers);
    const configName = `${sha256(config).slice(7)}.json`;
    const names = layers.map((layer) => `${layer.diffId.slice(7)}.tar`);
    add(configName, config);
    for (const [at, layer] of layers.entries()) add(names[at] as string, layer.blob);
    manifest.push({ Config: configName, RepoTags: image.tag === undefined ? null : [image.tag], Layers: names });
    return { manifestDigest: sha256(config), configDigest: sha256(config), config, layers };
  });
  add('manifest.json', JSON.stringify(manifest));
  return { entries: [...entries.values()], built };
}

function legacyArchive(images: readonly ImageSpec[]): { entries: LayerEntry[]; built: BuiltImage[] } {
  const entries = new Map<string, LayerEntry>();
  const repositories: Record<string, Record<string, string>> = {};
  const built = images.map((image) => {
    const layers = image.layers.map(buildLayer);
    let parent = '';
    const first = new Map<string, string>();
    for (const layer of layers) {
      const id = sha256(`${parent} ${layer.diffId}`).slice(7);
      const v1 = { id, ...(parent === '' ? {} : { parent }), ...JSON.parse(configOf(image, layers).toString()), rootfs: undefined };
      entries.set(`${id}/`, { path: `${id}/` });
      entries.set(`${id}/VERSION`, { path: `${id}/VERSION`, content: '1.0' });
      entries.set(`${id}/json`, { path: `${id}/json`, content: JSON.stringify(v1) });
      const path = `${id}/layer.tar`;
      const twin = first.get(layer.diffId);
      entries.set(path, twin === undefined ? { path, content: layer.blob } : { path, type: 'symlink', target: `../${twin}/layer.tar` });
      if (twin === undefined) first.set(layer.diffId, id);
      parent = id;
    }
    const [name = 'image', tag = 'latest'] = splitTag(image.tag ?? 'image:latest');
    (repositories[name] ??= {})[tag] = parent;
    const config = configOf(image, layers);
    return { manifestDigest: sha256(config), configDigest: sha256(config), config, layers };
  });
  return { entries: [...entries.values(), { path: 'repositories', content: JSON.stringify(repositories) }], built };
}

function ociArchive(images: readonly ImageSpec[], withManifest: boolean): { entries: LayerEntry[]; built: BuiltImage[] } {
  const entries = new Map<string, LayerEntry>([['oci-layout', { path: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' }]]);
  const descriptors: unknown[] = [];
  const manifests: unknown[] = [];
  const built = images.map((image) => {
    const { result, manifest, blobs } = ociBlobs(image);
    const path = (digest: string): string => `blobs/sha256/${digest.slice(7)}`;
    for (const blob of blobs) entries.set(path(sha256(blob)), { path: path(sha256(blob)), content: blob });
    const [, tag = 'latest'] = splitTag(image.tag ?? '');
    const full =
      image.tag === undefined ? {} : { 'io.containerd.image.name': `docker.io/library/${image.tag}`, 'org.opencontainers.image.ref.name': tag };
    descriptors.push(ociDescriptor(image, result, manifest, full));
    manifests.push({
      Config: path(result.configDigest),
      RepoTags: image.tag === undefined ? null : [image.tag],
      Layers: result.layers.map((layer) => path(layer.digest)),
    });
    return result;
  });
  entries.set('index.json', { path: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests: descriptors }) });
  if (withManifest) entries.set('manifest.json', { path: 'manifest.json', content: JSON.stringify(manifests) });
  return { entries: [...entries.values()], built };
}

function splitTag(reference: string): [name: string | undefined, tag: string | undefined] {
  const colon = reference.indexOf(':', reference.lastIndexOf('/') + 1);
  return colon < 0 ? [reference, undefined] : [reference.slice(0, colon), reference.slice(colon + 1)];
}

function tarEntry(entry: LayerEntry): Buffer[] {
  const type = entry.type ?? (entry.path.endsWith('/') ? 'directory' : 'file');
  const content = Buffer.from(entry.content ?? '');
  const mtime = entry.mtime ?? 1_735_689_600;
  const pax: Array<[string, Buffer]> = Object.entries(entry.xattrs ?? {}).map(([name, value]) => [`SCHILY.xattr.${name}`, Buffer.from(value)]);
  if (Buffer.byteLength(entry.path) > 100 || !isAscii(entry.path)) pax.push(['path', Buffer.from(entry.path)]);
  if (entry.target !== undefined && (Buffer.byteLength(entry.target) > 100 || !isAscii(entry.target)))
    pax.push(['linkpath', Buffer.from(entry.target)]);
  if (!Number.isInteger(mtime)) pax.push(['mtime', Buffer.from(String(mtime))]);
  for (const id of ['uid', 'gid'] as const) if ((entry[id] ?? 0) > 0o7777777) pax.push([id, Buffer.from(String(entry[id]))]);
  const header = tarHeader({ ...entry, type, size: content.length, mtime });
  const records = Buffer.concat(pax.map(([key, value]) => paxRecord(key, value)));
  const extension = pax.length === 0 ? [] : [tarHeader({ path: 'PaxHeaders/entry', type: 'pax', size: records.length, mtime: 0 }), padded(records)];
  return [...extension, header, padded(content)];
}

function tarHeader(entry: Omit<LayerEntry, 'type'> & { type: NonNullable<LayerEntry['type']> | 'pax'; size: number; mtime: number }): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number): void => {
    const digits = Math.floor(value).toString(8);
    block.write(digits.length < length ? digits.padStart(length - 1, '0') : '0'.repeat(length - 1), offset, 'latin1');
  };
  Buffer.from(entry.path).copy(block, 0, 0, 100);
  octal(entry.mode ?? (entry.type === 'directory' ? 0o755 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(entry.size, 124, 12);
  octal(entry.mtime, 136, 12);
  block.write({ file: '0', hardlink: '1', symlink: '2', character: '3', block: '4', directory: '5', fifo: '6', pax: 'x' }[entry.type], 156);
  Buffer.from(entry.target ?? '').copy(block, 157, 0, 100);
  block.write('ustar\x0000', 257, 'latin1');
  octal(entry.device?.[0] ?? 0, 329, 8);
  octal(entry.device?.[1] ?? 0, 337, 8);
  block.fill(' ', 148, 156);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.byteLength(key) + value.length + 3;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')]);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length;

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const HERE = process.arch === 'x64' ? 'amd64' : process.arch;
