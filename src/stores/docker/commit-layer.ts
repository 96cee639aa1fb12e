import { chmodSync, lstatSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { syncDirectory } from '../../linux/durable.ts';
import type { Kernel } from '../../linux/kernel.ts';
import { layerDir, layerFormDir, layersDir, stagingDir, type LayerForm } from '../../paths/docker-store.ts';
import type { StateIndex } from '../state-index.ts';
import { asIoError } from './failures.ts';
import { writeLayerFacts, type LayerFacts } from './layer-facts.ts';

/** A layer unpacked whole and verified, in staging. */
export interface StagedLayer extends LayerFacts {
  readonly diffId: string;
  readonly form: LayerForm;
  /** Its tree, moved away by the commit. */
  readonly path: string;
}

/**
 * Brings staged layers to their place: flush, then one rename each, then flush the names. A layer that can be seen is complete, whatever
 * happens to the power. Flushing the whole file system is the only way to flush a tree of thousands of files in one call, so layers that
 * finish while a flush is under way share the next one; and it begins as soon as the first layer is ready, while others still unpack, so
 * that the disk works while they decompress. On a disk with a quick flush this takes as long as one flush at the end (60 small layers: 0.18 s
 * and 0.17 s); on a slow one only the last flush is waited for, and most is written by then.
 */
export class LayerCommitter {
  readonly #store: string;
  readonly #kernel: Kernel;
  readonly #index: StateIndex;
  #waiting: Waiting[] = [];
  #running = false;

  constructor(store: string, kernel: Kernel, index: StateIndex) {
    this.#store = store;
    this.#kernel = kernel;
    this.#index = index;
  }

  /** Durable and visible when it has settled. A layer that is there already is kept, and the staged one left where it is. Fails with IO_ERROR. */
  commit(layer: StagedLayer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ layer, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#commitBatch(this.#waiting.splice(0));
    this.#running = false;
  }

  /** One layer's failure is its own; a failed flush is everybody's. Never rejects. */
  async #commitBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      // Before the flush, which covers them: nothing tells that a layer is there but its tree in place.
      const prepared = batch.filter((waiting) => attempt(waiting, () => this.#prepare(waiting.layer)));
      await this.#kernel.syncFilesystem(stagingDir(this.#store));
      const renamed = prepared.filter((waiting) => attempt(waiting, () => this.#rename(waiting.layer)));
      await Promise.all(renamed.map(({ layer }) => syncDirectory(layerDir(this.#store, layer.diffId))));
      this.#index.putLayers(renamed.map(({ layer }) => layer));
      for (const waiting of renamed) waiting.resolve();
    } catch (error) {
      for (const waiting of batch) waiting.reject(asIoError(error, `cannot flush layers to ${layersDir(this.#store)}`));
    }
  }

  #prepare({ diffId, form, bytes, entries, createdAt }: StagedLayer): void {
    mkdirSync(layerDir(this.#store, diffId), { recursive: true });
    if (statSync(layerFormDir(this.#store, diffId, form), { throwIfNoEntry: false }) === undefined)
      writeLayerFacts(this.#store, diffId, form, { bytes, entries, createdAt });
  }

  #rename({ path, diffId, form }: StagedLayer): void {
    try {
      renameDirectory(path, layerFormDir(this.#store, diffId, form));
    } catch (error) {
      // An earlier process, or a retry, was there first: content named by its digest is the same.
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

/**
 * Without root, a directory that its owner may not write can't move to another parent: its '..' changes. Then it is made writable for the
 * moment; killed in it, the root of the layer keeps that one bit too many.
 */
function renameDirectory(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const { mode } = lstatSync(from);
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || (mode & 0o200) !== 0) throw error;
    chmodSync(from, (mode & 0o7777) | 0o200);
    renameSync(from, to);
    chmodSync(to, mode & 0o7777);
  }
}

interface Waiting {
  readonly layer: StagedLayer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

function attempt(waiting: Waiting, step: () => void): boolean {
  try {
    step();
    return true;
  } catch (error) {
    waiting.reject(asIoError(error, `cannot commit the layer ${waiting.layer.diffId}`));
    return false;
  }
}
