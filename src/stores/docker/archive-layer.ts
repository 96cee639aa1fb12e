import { RootwrightError } from '../../errors.ts';
import { readRegion, type Digest, type FileRegion } from './digest.ts';
import type { SourceLayer, SourceRequest } from './image-source.ts';
import { compressionOf, LAYER_MEDIA_TYPE, type Compression } from './media-types.ts';

/** How a member is packed, by its first bytes. */
export async function compressionOfRegion(region: FileRegion): Promise<Compression> {
  return compressionOf(await readRegion({ ...region, size: Math.min(region.size, 4) }, 4));
}

/** A layer of an archive, which knows its diff id only. */
export async function archiveLayer(diffId: Digest, blob: FileRegion): Promise<SourceLayer> {
  const compression = await compressionOfRegion(blob);
  return { diffId, digest: compression === 'none' ? diffId : undefined, size: blob.size, mediaType: LAYER_MEDIA_TYPE[compression], blob };
}

/** An IMAGE_NOT_FOUND that lists what an archive has. */
export function notInArchive(request: SourceRequest, references: readonly string[]): RootwrightError {
  const wanted =
    request.name.reference === undefined ? 'it has several images, name one' : `it has no image ${JSON.stringify(request.name.reference)}`;
  const there = references.length === 0 ? 'none of its images has a name; use @0, @1, …' : `there are: ${references.join(', ')}`;
  return new RootwrightError('IMAGE_NOT_FOUND', `${request.name.text}: ${wanted}; ${there}`, { details: { image: request.name.text, references } });
}
