import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './repository.ts';

/** Where the real images are (oci/NAME, docker/NAME.tar, layers/NAME/NN.tar): ROOTWRIGHT_IMAGES, or build/images of this repository. */
export function imagesDirectory(): string {
  return process.env['ROOTWRIGHT_IMAGES'] ?? join(repository, 'build', 'images');
}

/** Why tests with real images can't run; undefined where they can. */
export function missingImages(names: readonly string[]): string | undefined {
  const missing = names.filter((name) => !existsSync(join(imagesDirectory(), 'oci', name, 'index.json')));
  return missing.length === 0 ? undefined : `no image ${missing.join(', ')} in ${imagesDirectory()}; ROOTWRIGHT_IMAGES names the directory`;
}

/** The OCI layout of an image, as the engine takes it. */
export const ociImage = (name: string): string => `oci:${join(imagesDirectory(), 'oci', name)}:latest`;
/** The docker-archive of an image, as the engine takes it. */
export const dockerArchive = (name: string): string => `docker-archive:${join(imagesDirectory(), 'docker', `${name}.tar`)}:${name}:latest`;
