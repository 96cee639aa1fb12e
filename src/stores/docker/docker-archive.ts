import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { archiveLayer, compressionOfRegion, notInArchive } from './archive-layer.ts';
import { readArchiveMembers, type ArchiveMembers } from './archive-members.ts';
import { digestOf, parseDigest, readRegion, verifyDigest, type Digest, type FileRegion } from './digest.ts';
import { familiarReference } from './docker-reference.ts';
import { asIoError } from './failures.ts';
import { gunzipToFile } from './gunzip.ts';
import { sourceIndex } from './image-name.ts';
import type { ImageSource, SourceLayer, SourceRequest } from './image-source.ts';
import { openLegacyArchive } from './legacy-archive.ts';
import {
  checkLayoutFile,
  diffIdsFor,
  invalidImage,
  parseArchiveManifest,
  parseConfig,
  parseIndex,
  type ArchiveManifest,
  type Descriptor,
} from './manifest.ts';
import { resolveOciImage, type BlobSource } from './oci-image.ts';
import { REF_NAME, selectManifests } from './oci-layout.ts';
import { formatPlatform, platformRank } from './platform.ts';

/**
 * The image of a docker-archive, as `docker save`, `podman save` and skopeo write it, that `request.name` means. Three kinds of archive
 * are read, and the archive may be compressed by gzip as a whole (it is then decompressed into the request's work directory):
 *
 * - an OCI layout inside the tar (docker since version 25, with manifest.json beside): taken first, since it has a digest of every byte;
 * - manifest.json with Config, RepoTags and Layers; layers may be packed by gzip or zstd;
 * - the legacy kind, `repositories` and `<id>/json` (legacy-archive.ts).
 *
 * A reference is compared in docker's short form, so that `docker.io/library/alpine` finds `alpine:latest` (MESOS-5009); `@N` counts the
 * entries of manifest.json, as skopeo does. Fails with IMAGE_NOT_FOUND, which lists the references, IMAGE_INVALID, IMAGE_UNSUPPORTED,
 * PLATFORM_NOT_FOUND, DIGEST_MISMATCH, LIMIT_EXCEEDED, IO_ERROR, ABORTED.
 */
export async function openDockerArchive(request: SourceRequest, signal?: AbortSignal): Promise<ImageSource> {
  const members = await readArchiveMembers(await plainArchive(request, signal), signal);
  const manifest = members.find('manifest.json');
  const index = members.has('oci-layout') ? members.find('index.json') : undefined;
  if (index !== undefined && !(manifest !== undefined && sourceIndex(request.name.reference) !== undefined)) {
    const image = await openOciArchive(members, index, manifest !== undefined, request, signal);
    if (image !== undefined) return image;
  }
  if (manifest !== undefined) return openCurrentArchive(members, manifest, request);
  const repositories = members.find('repositories');
  if (repositories !== undefined) return openLegacyArchive(members, repositories, request, signal);
  throw new RootwrightError(
    'IMAGE_INVALID',
    `${request.name.path}: is no docker-archive: it has neither manifest.json nor repositories nor index.json`,
    {
      details: { path: request.name.path },
    },
  );
}

async function plainArchive(request: SourceRequest, signal: AbortSignal | undefined): Promise<string> {
  const { path, text } = request.name;
  let region: FileRegion;
  try {
    const found = await stat(path);
    if (!found.isFile())
      throw new RootwrightError('IMAGE_NOT_FOUND', `${text}: ${path} is not a file; 'oci:' names a layout directory`, {
        details: { image: text, path },
      });
    region = { path, offset: 0, size: found.size };
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw asIoError(error, `cannot read ${path}`);
    throw new RootwrightError('IMAGE_NOT_FOUND', `${text}: there is no file ${path}`, { cause: error, details: { image: text, path } });
  }
  const compression = await compressionOfRegion(region);
  if (compression === 'none') return path;
  if (compression === 'zstd')
    throw new RootwrightError('IMAGE_UNSUPPORTED', `${path}: is compressed by zstd as a whole; decompress it first`, { details: { path } });
  const target = join(await request.workDirectory(), 'archive.tar');
  await gunzipToFile(region, target, signal);
  return target;
}

/** undefined where the index does not know the reference but manifest.json may. */
async function openOciArchive(
  members: ArchiveMembers,
  index: FileRegion,
  hasManifest: boolean,
  request: SourceRequest,
  signal: AbortSignal | undefined,
): Promise<ImageSource | undefined> {
  const where = `${request.name.path}: index.json`;
  const layout = members.find('oci-layout');
  if (layout !== undefined) checkLayoutFile(await readRegion(layout, LIMITS.manifestBytes), `${request.name.path}: oci-layout`);
  const parsed = parseIndex(await readRegion(index, LIMITS.manifestBytes), where);
  if (hasManifest && !parsed.manifests.some((descriptor) => request.name.reference === undefined || isNamed(descriptor, request.name.reference)))
    return undefined;
  const blobs: BlobSource = {
    where: request.name.path,
    locate: (digest) => Promise.resolve(members.find(`blobs/${digest.replace(':', '/')}`)),
  };
  return resolveOciImage(blobs, selectManifests(parsed, request, where, isNamed), request, signal);
}

/** By the name that containerd and docker keep beside the tag; without one, by a tag that is a whole name (as podman and skopeo write it), or the tag alone. */
function isNamed(descriptor: Descriptor, reference: string): boolean {
  const name = descriptor.annotations?.['io.containerd.image.name'] ?? descriptor.annotations?.[REF_NAME];
  return name !== undefined && (familiarReference(name) === reference || name === reference);
}

async function openCurrentArchive(members: ArchiveMembers, manifest: FileRegion, request: SourceRequest): Promise<ImageSource> {
  const where = `${request.name.path}: manifest.json`;
  const image = selectImage(parseArchiveManifest(await readRegion(manifest, LIMITS.manifestBytes), where), request);
  const configRegion = members.find(image.Config);
  if (configRegion === undefined) throw invalidImage(where, 'Config', `the member ${JSON.stringify(image.Config)} is missing`);
  const configBytes = await readRegion(configRegion, LIMITS.manifestBytes);
  const configDigest = digestOf(configBytes);
  // docker and skopeo name the config by its digest; where the name is one, it must be right.
  const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(image.Config)?.[1];
  if (named !== undefined) verifyDigest(configDigest, parseDigest(`sha256:${named}`, where), `${request.name.path}: ${image.Config}`);
  const configWhere = `${request.name.path}: ${image.Config}`;
  const config = parseConfig(configBytes, configWhere);
  refuseOtherPlatform(config, request);
  const diffIds = diffIdsFor(config, image.Layers.length, configWhere);
  const layers: SourceLayer[] = [];
  for (const [at, name] of image.Layers.entries()) {
    const blob = members.find(name);
    if (blob === undefined) throw invalidImage(where, `Layers[${at}]`, `the member ${JSON.stringify(name)} is missing`);
    layers.push(await archiveLayer(diffIds[at] as Digest, blob));
  }
  return { manifestDigest: configDigest, configDigest, configBytes, config, layers };
}

function selectImage(manifest: ArchiveManifest, request: SourceRequest): ArchiveManifest[number] {
  const { reference } = request.name;
  const at = sourceIndex(reference);
  const [only, ...more] = manifest;
  const selected =
    reference === undefined
      ? more.length === 0
        ? only
        : undefined
      : at === undefined
        ? manifest.find((image) => image.RepoTags?.some((tag) => familiarReference(tag) === reference))
        : manifest[at];
  if (selected === undefined)
    throw notInArchive(
      request,
      manifest.flatMap((image) => image.RepoTags ?? []),
    );
  return selected;
}

/** There is no choice in such an archive: only a platform that the caller named can refuse it. */
function refuseOtherPlatform(
  config: { os: string | undefined; architecture: string | undefined; variant: string | undefined },
  request: SourceRequest,
): void {
  const { os, architecture, variant } = config;
  if (!request.platformAsked || os === undefined || architecture === undefined) return;
  const offered = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  if (platformRank(request.platform, offered) !== undefined) return;
  throw new RootwrightError(
    'PLATFORM_NOT_FOUND',
    `${request.name.text}: is for ${formatPlatform(offered)}, not for ${formatPlatform(request.platform)}`,
    {
      details: { image: request.name.text, wanted: formatPlatform(request.platform), offered: [formatPlatform(offered)] },
    },
  );
}
