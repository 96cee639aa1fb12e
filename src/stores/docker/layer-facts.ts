import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { layerFactsPath, layerFormDir, type LayerForm } from '../../paths/docker-store.ts';

/** What is known of one form of a layer, kept beside its tree so that the index can be made again from disk. */
export interface LayerFacts {
  /** Of its tar archive. */
  readonly bytes: number;
  readonly entries: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** Writes the facts; not flushed, and nothing is lost where they are: they can be counted again. */
export function writeLayerFacts(store: string, diffId: string, form: LayerForm, facts: LayerFacts): void {
  writeFileSync(layerFactsPath(store, diffId, form), `${JSON.stringify({ version: 1, ...facts })}\n`);
}

/** undefined where they are missing or damaged. */
export function readLayerFacts(store: string, diffId: string, form: LayerForm): LayerFacts | undefined {
  try {
    const { version, bytes, entries, createdAt } = JSON.parse(readFileSync(layerFactsPath(store, diffId, form), 'utf8')) as Record<string, unknown>;
    const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
    return version === 1 && isCount(bytes) && isCount(entries) && isCount(createdAt) ? { bytes, entries, createdAt } : undefined;
  } catch {
    return undefined;
  }
}

/** Counts a tree: what its tar would take with plain headers. Fails as node:fs does. */
export function countLayer(store: string, diffId: string, form: LayerForm): LayerFacts {
  const root = layerFormDir(store, diffId, form);
  const seen = new Set<number>();
  let [bytes, entries] = [1024, 0];
  const pending: Buffer[] = [Buffer.from(root)];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
      entries += 1;
      bytes += 512;
      const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
      if (entry.isDirectory()) pending.push(path);
      else if (entry.isFile()) {
        const { size, ino, nlink } = lstatSync(path);
        if (nlink === 1 || !seen.has(ino)) bytes += Math.ceil(size / 512) * 512;
        seen.add(ino);
      }
    }
  }
  return { bytes, entries, createdAt: Math.floor(lstatSync(root).ctimeMs) };
}
