import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Digest, FileRegion } from './digest.ts';
import { readRegion } from './digest.ts';
import { asIoError } from './failures.ts';
import { sourceIndex } from './image-name.ts';
import type { ImageSource, SourceRequest } from './image-source.ts';
import { checkLayoutFile, parseIndex, type Descriptor, type ImageIndex } from './manifest.ts';
import { resolveOciImage, type BlobSource } from './oci-image.ts';

/** The annotation that holds the tag of an image in an index. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/**
 * The image of an OCI image layout directory (image-spec image-layout.md) that `request.name` means.
 *
 * A blob may be a symlink, also out of the layout: tools that share blobs between layouts write them so. It must lead to a regular file,
 * and as with every blob its content counts only with the digest that was asked for, so that a link can't bring in anything else.
 *
 * Fails with IMAGE_NOT_FOUND, which lists the tags, and as {@link resolveOciImage} does.
 */
export async function openOciLayout(request: SourceRequest, signal?: AbortSignal): Promise<ImageSource> {
  const directory = request.name.path;
  checkLayoutFile(await readMember(directory, 'oci-layout', request), join(directory, 'oci-layout'));
  const where = join(directory, 'index.json');
  const index = parseIndex(await readMember(directory, 'index.json', request), where);
  return resolveOciImage(new LayoutBlobs(directory), selectManifests(index, request, where, matchesTag), request, signal);
}

/**
 * The entries of a layout's index that `request.name` means: those that `matches` its reference (several platforms may share a tag), the
 * one of `@N`, or without a reference the only one there. Fails with IMAGE_NOT_FOUND.
 */
export function selectManifests(
  index: ImageIndex,
  request: SourceRequest,
  where: string,
  matches: (descriptor: Descriptor, reference: string) => boolean,
): Descriptor[] {
  const { reference } = request.name;
  const at = sourceIndex(reference);
  const selected =
    reference === undefined
      ? withOneTag(index.manifests)
      : at === undefined
        ? index.manifests.filter((descriptor) => matches(descriptor, reference))
        : index.manifests.slice(at, at + 1);
  if (selected.length > 0) return selected;
  const tags = [...new Set(index.manifests.map((descriptor) => descriptor.annotations?.[REF_NAME] ?? '(no tag)'))].toSorted();
  const wanted = reference === undefined ? 'it has several images, name one' : `nothing there is named ${JSON.stringify(reference)}`;
  const there = tags.length === 0 ? 'the index is empty' : `there are: ${tags.join(', ')}`;
  throw new RootwrightError('IMAGE_NOT_FOUND', `${request.name.text}: ${index.manifests.length === 0 ? '' : `${wanted}; `}${there}`, {
    details: { image: request.name.text, where, tags },
  });
}

const matchesTag = (descriptor: Descriptor, tag: string): boolean => descriptor.annotations?.[REF_NAME] === tag;

/** All entries where they have one tag between them or are one, else none: which is meant can't be told. */
function withOneTag(manifests: readonly Descriptor[]): Descriptor[] {
  const [first, ...rest] = manifests;
  const tag = first?.annotations?.[REF_NAME];
  const one =
    rest.every((descriptor) => descriptor.annotations?.[REF_NAME] === tag) && (rest.length === 0 || tag !== undefined || rest.every(hasPlatform));
  return one ? [...manifests] : [];
}

const hasPlatform = (descriptor: Descriptor): boolean => descriptor.platform !== undefined;

class LayoutBlobs implements BlobSource {
  readonly where: string;

  constructor(directory: string) {
    this.where = directory;
  }

  async locate(digest: Digest): Promise<FileRegion | undefined> {
    const path = join(this.where, 'blobs', ...digest.split(':'));
    try {
      const found = await stat(path);
      return found.isFile() ? { path, offset: 0, size: found.size } : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw asIoError(error, `cannot read ${path}`);
    }
  }
}

async function readMember(directory: string, member: string, request: SourceRequest): Promise<Buffer> {
  const path = join(directory, member);
  try {
    const { size } = await stat(path);
    return await readRegion({ path, offset: 0, size }, LIMITS.manifestBytes);
  } catch (error) {
    if (!isAbsent(error)) throw asIoError(error, `cannot read ${path}`);
    throw new RootwrightError('IMAGE_NOT_FOUND', `${request.name.text}: ${directory} is no OCI image layout, it has no file '${member}'`, {
      cause: error,
      details: { image: request.name.text, path },
    });
  }
}

const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '');
