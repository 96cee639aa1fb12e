import { isRootwrightError, RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Platform } from '../store.ts';
import { parseDigest, readRegion, type Digest, type FileRegion } from './digest.ts';
import type { ImageSource, SourceLayer, SourceRequest } from './image-source.ts';
import {
  diffIdsFor,
  invalidImage,
  parseConfig,
  parseIndex,
  parseManifest,
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
} from './manifest.ts';
import { kindOf } from './media-types.ts';
import { formatPlatform, isNoPlatform, platformRank } from './platform.ts';

/** Blobs by digest: a layout directory, or a layout inside a tar. */
export interface BlobSource {
  /** For messages. */
  readonly where: string;
  /** Where the blob is and how long it is there; undefined where it is missing. */
  locate(digest: Digest): Promise<FileRegion | undefined>;
}

/**
 * The image that the first fitting one of `descriptors` leads to, through nested indexes where there are any (LIMITS.indexDepth deep).
 * Every document is verified against its digest and size before it is read. Fails with PLATFORM_NOT_FOUND, which tells what there is,
 * IMAGE_INVALID, IMAGE_UNSUPPORTED, DIGEST_MISMATCH, LIMIT_EXCEEDED, IO_ERROR, ABORTED.
 */
export async function resolveOciImage(
  blobs: BlobSource,
  descriptors: readonly Descriptor[],
  request: SourceRequest,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const search: Search = { blobs, request, offered: new Set(), signal };
  const only = descriptors.length === 1 ? descriptors[0] : undefined;
  const found = await choose(search, descriptors, only !== undefined && kindOf(only.mediaType)?.kind === 'manifest', 1);
  if (found === undefined) throw platformNotFound(search);
  return toSource(blobs, found);
}

interface Search {
  readonly blobs: BlobSource;
  readonly request: SourceRequest;
  /** Platforms that were met, for the message. */
  readonly offered: Set<string>;
  readonly signal: AbortSignal | undefined;
}

interface Found {
  readonly descriptor: Descriptor;
  readonly digest: Digest;
  readonly manifest: ImageManifest;
  readonly configDigest: Digest;
  readonly configBytes: Buffer;
  readonly config: ImageConfig;
}

/** `only`: there is one image and no choice, so that another platform is accepted unless the caller named one. */
async function choose(search: Search, descriptors: readonly Descriptor[], only: boolean, depth: number): Promise<Found | undefined> {
  if (depth > LIMITS.indexDepth)
    throw new RootwrightError('LIMIT_EXCEEDED', `${search.blobs.where}: its indexes are nested more than ${LIMITS.indexDepth} deep`, {
      details: { limit: LIMITS.indexDepth },
    });
  let notSupported: unknown;
  for (const descriptor of inOrderOfFit(search, descriptors, only)) {
    throwIfAborted(search.signal, 'looking up an image');
    const kind = kindOf(descriptor.mediaType)?.kind;
    if (kind === 'index') {
      const { bytes, where } = await readDocument(search.blobs, descriptor);
      const index = parseIndex(bytes, where);
      agreeOnMediaType(index.mediaType, descriptor, where);
      const found = await choose(search, index.manifests, false, depth + 1);
      if (found !== undefined) return found;
    } else {
      try {
        const found = await readImage(search, descriptor);
        if ((only && !search.request.platformAsked) || fits(search, found)) return found;
      } catch (error) {
        // An artifact without a platform may stand beside images.
        if (descriptor.platform !== undefined || !isRootwrightError(error) || error.code !== 'IMAGE_UNSUPPORTED') throw error;
        notSupported = error;
      }
    }
  }
  if (notSupported !== undefined) throw notSupported;
  return undefined;
}

/** Without the ones that do not fit; the best first, and after those that say their platform the ones that keep it in their config. */
function inOrderOfFit(search: Search, descriptors: readonly Descriptor[], only: boolean): Descriptor[] {
  const ranked: Array<{ descriptor: Descriptor; rank: number }> = [];
  for (const [at, descriptor] of descriptors.entries()) {
    if (isNoPlatform(descriptor.platform) || descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') continue;
    const kind = kindOf(descriptor.mediaType)?.kind;
    // Other artifacts may lie beside images; an index with nothing else says so by its code.
    if (kind !== 'index' && kind !== 'manifest') {
      if (descriptors.length > 1) continue;
      const type = JSON.stringify(descriptor.mediaType);
      throw new RootwrightError('IMAGE_UNSUPPORTED', `${search.blobs.where}: manifests[${at}] has the media type ${type}, which is not supported`);
    }
    if (descriptor.platform === undefined || (only && !search.request.platformAsked)) {
      ranked.push({ descriptor, rank: -1 });
      continue;
    }
    search.offered.add(formatPlatform(descriptor.platform as Platform));
    const rank = platformRank(search.request.platform, descriptor.platform as Platform);
    if (rank !== undefined) ranked.push({ descriptor, rank });
  }
  return ranked.toSorted((a, b) => b.rank - a.rank).map(({ descriptor }) => descriptor);
}

async function readImage(search: Search, descriptor: Descriptor): Promise<Found> {
  const { bytes, digest, where } = await readDocument(search.blobs, descriptor);
  const manifest = parseManifest(bytes, where);
  agreeOnMediaType(manifest.mediaType, descriptor, where);
  const config = await readDocument(search.blobs, manifest.config);
  return { descriptor, digest, manifest, configDigest: config.digest, configBytes: config.bytes, config: parseConfig(config.bytes, config.where) };
}

/** By the config's own words, which count where the descriptor says nothing. */
function fits(search: Search, found: Found): boolean {
  if (found.descriptor.platform !== undefined) return true;
  const { os, architecture, variant } = found.config;
  if (os === undefined || architecture === undefined) return !search.request.platformAsked;
  const offered = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  search.offered.add(formatPlatform(offered));
  return platformRank(search.request.platform, offered) !== undefined;
}

async function toSource(blobs: BlobSource, found: Found): Promise<ImageSource> {
  const diffIds = diffIdsFor(found.config, found.manifest.layers.length, `${blobs.where}: the config ${found.configDigest}`);
  const layers: SourceLayer[] = [];
  for (const [at, descriptor] of found.manifest.layers.entries()) {
    const { digest, blob } = await locateBlob(blobs, descriptor, `layers[${at}]`);
    layers.push({ diffId: diffIds[at] as Digest, digest, size: descriptor.size, mediaType: descriptor.mediaType, blob });
  }
  return { manifestDigest: found.digest, configDigest: found.configDigest, configBytes: found.configBytes, config: found.config, layers };
}

async function readDocument(blobs: BlobSource, descriptor: Descriptor): Promise<{ bytes: Buffer; digest: Digest; where: string }> {
  const { digest, blob } = await locateBlob(blobs, descriptor, 'descriptor');
  const where = `${blobs.where}: ${digest}`;
  return { bytes: await readRegion(blob, LIMITS.manifestBytes, digest), digest, where };
}

/** The size is that of the descriptor, and the blob has no byte more: what lies behind it would never be verified. */
async function locateBlob(blobs: BlobSource, descriptor: Descriptor, what: string): Promise<{ digest: Digest; blob: FileRegion }> {
  const digest = parseDigest(descriptor.digest, `${blobs.where}: ${what}`);
  const blob = await blobs.locate(digest);
  if (blob === undefined) throw invalidImage(blobs.where, what, `the blob ${digest} is missing`);
  if (blob.size !== descriptor.size)
    throw invalidImage(blobs.where, what, `the blob ${digest} has ${blob.size} bytes where ${descriptor.size} are expected`);
  return { digest, blob };
}

/** What the document says it is must be what led to it: one file must not be read in two ways. */
function agreeOnMediaType(found: string | undefined, descriptor: Descriptor, where: string): void {
  if (found !== undefined && found !== descriptor.mediaType)
    throw invalidImage(where, 'mediaType', `is ${JSON.stringify(found)} where its descriptor says ${JSON.stringify(descriptor.mediaType)}`);
}

function platformNotFound(search: Search): RootwrightError {
  const offered = [...search.offered].toSorted();
  const wanted = formatPlatform(search.request.platform);
  const what = offered.length === 0 ? 'it has no image at all' : `it has ${offered.join(', ')}`;
  return new RootwrightError('PLATFORM_NOT_FOUND', `${search.request.name.text}: no image for the platform ${wanted}; ${what}`, {
    details: { image: search.request.name.text, wanted, offered },
  });
}
