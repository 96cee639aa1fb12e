import { openDockerArchive } from './docker-archive.ts';
import type { ImageSource, SourceRequest } from './image-source.ts';
import { openOciLayout } from './oci-layout.ts';

/** Finds the image at its source. This module and what it needs (zod) is loaded only when an image is really looked up. */
export function openSource(request: SourceRequest, signal?: AbortSignal): Promise<ImageSource> {
  return request.name.transport === 'oci' ? openOciLayout(request, signal) : openDockerArchive(request, signal);
}
