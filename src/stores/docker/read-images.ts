import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FORM_DIRECTORY, imagesDir, type LayerForm } from '../../paths/docker-store.ts';
import { parseImageRecord, type ImageRecord } from './image-records.ts';
import { readLayerFacts } from './layer-facts.ts';

/** An image as its files tell, read without the engine's lock. */
export interface ImageOnDisk {
  readonly name: string;
  /** `os/architecture[/variant]`. */
  readonly platform: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly layerIds: readonly string[];
  /** Bytes of its layers' tars, once for each form present; layers that images share count in each. */
  readonly bytes: number;
  /** When it came, in milliseconds since the epoch. */
  readonly createdAt: number;
}

/**
 * The images of the store in `directory`, by name, read from their records alone. It takes no lock, so it works beside the engine that
 * holds the root; `Store.list` also knows when each was last used. A record that is damaged, or goes meanwhile, is passed over: recovery
 * tells of it. Fails as node:fs does where the directory can't be read; one that is missing has no images.
 */
export function readImages(directory: string): ImageOnDisk[] {
  const bytes = new Map<string, number>();
  const bytesOf = (diffId: string): number => {
    const known =
      bytes.get(diffId) ??
      (Object.keys(FORM_DIRECTORY) as LayerForm[]).reduce((sum, form) => sum + (readLayerFacts(directory, diffId, form)?.bytes ?? 0), 0);
    bytes.set(diffId, known);
    return known;
  };
  return recordsIn(imagesDir(directory))
    .map(({ name, platform, manifestDigest, configDigest, diffIds, createdAt }) => ({
      name,
      platform,
      manifestDigest,
      configDigest,
      layerIds: diffIds,
      bytes: diffIds.reduce((sum, diffId) => sum + bytesOf(diffId), 0),
      createdAt,
    }))
    .toSorted((a, b) => (`${a.name}\0${a.platform}` < `${b.name}\0${b.platform}` ? -1 : 1));
}

function recordsIn(directory: string): ImageRecord[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names.flatMap((name) => {
    if (name.startsWith('.') || !name.endsWith('.json')) return [];
    const path = join(directory, name);
    try {
      return [parseImageRecord(readFileSync(path, 'utf8'), path)];
    } catch {
      return [];
    }
  });
}
