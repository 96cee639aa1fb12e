import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  configsDir,
  FORM_DIRECTORY,
  gcDir,
  imagesDir,
  layerDir,
  layerFactsPath,
  layersDir,
  stagingDir,
  type LayerForm,
} from '../../paths/docker-store.ts';
import { isTemporary } from '../../paths/provisioner.ts';
import type { ImageRow, LayerRow } from '../state-index.ts';
import type { StoreRecovery } from '../store.ts';
import { algorithmOf, digestOf, findDigest } from './digest.ts';
import { imageKey, parseImageRecord } from './image-records.ts';
import { countLayer, readLayerFacts, writeLayerFacts } from './layer-facts.ts';
import { moveToQuarantine } from './quarantine.ts';
import type { StoreContext } from './store-context.ts';
import { hasLayer } from './unpack-layers.ts';

/** Makes the directories of a store where they are missing. Fails as node:fs does. */
export function makeDirectories(store: string): void {
  for (const directory of [stagingDir(store), layersDir(store), configsDir(store), imagesDir(store), gcDir(store)])
    mkdirSync(directory, { recursive: true });
}

/**
 * Brings a store in order after any crash, before anything else uses it: sweeps staging/ and gc/ (Mesos R8), temporaries of durable
 * writes and layer directories without a form (R10); sets aside what is damaged or has no name that it could have, and goes on (DS3); then
 * makes the index say what is on disk, where it says anything else.
 *
 * A record whose layers are missing stays: the next get brings them (DS4). One clean-up that fails is logged, counted and left for the
 * next time. With `plan` it only tells. Fails as node:fs does where the directories themselves can't be made or read.
 */
export async function recoverStore(context: StoreContext, plan: boolean): Promise<StoreRecovery> {
  const { directory } = context;
  makeDirectories(directory);
  const mending = new Mending(context, plan);
  await mending.sweep(stagingDir(directory));
  await mending.sweep(gcDir(directory));
  recoverRecords(directory, mending);
  recoverConfigs(directory, mending);
  const layers = recoverLayers(context, mending);
  if (!plan) {
    context.records.reset();
    rebuildIndex(context, layers);
  }
  const { swept, quarantined } = mending;
  return { swept, quarantined, images: context.records.all().length, layers: new Set(layers.map((layer) => layer.diffId)).size };
}

/** What is done about each finding, or with `plan` only told. */
class Mending {
  readonly swept: string[] = [];
  readonly quarantined: Array<StoreRecovery['quarantined'][number]> = [];
  readonly plan: boolean;
  readonly #context: StoreContext;

  constructor(context: StoreContext, plan: boolean) {
    this.#context = context;
    this.plan = plan;
  }

  async sweep(directory: string): Promise<void> {
    if (this.plan) this.swept.push(...readdirSync(directory).map((name) => join(directory, name)));
    else this.swept.push(...(await this.#context.sweeper.sweep(directory)));
  }

  /** `remove` takes `path` away. */
  remove(path: string, remove: (path: string) => void): void {
    if (!this.plan) remove(path);
    this.swept.push(path);
  }

  setAside(path: string, reason: string): void {
    this.quarantined.push({ path, reason });
    if (this.plan) return;
    try {
      moveToQuarantine(this.#context.quarantine, path, reason);
      this.#context.logger.warn({ path, reason }, 'set aside');
    } catch (error) {
      this.#context.logger.error({ err: error, path, reason }, 'is damaged, and could not be set aside');
    }
  }
}

function recoverRecords(store: string, mending: Mending): void {
  for (const { name, path } of entriesOf(imagesDir(store), mending)) {
    try {
      const record = parseImageRecord(readFileSync(path, 'utf8'), path);
      if (name !== `${imageKey(record.name, record.platform)}.json`)
        mending.setAside(path, `the image record of ${record.name} has a file name that is not its own`);
    } catch (error) {
      mending.setAside(path, messageOf(error));
    }
  }
}

function recoverConfigs(store: string, mending: Mending): void {
  for (const { name, path } of entriesOf(configsDir(store), mending)) {
    const digest = findDigest(name);
    try {
      if (digest === undefined) mending.setAside(path, 'an image config is named by its digest, this is none');
      else if (digestOf(readFileSync(path), algorithmOf(digest)) !== digest)
        mending.setAside(path, 'the content of the image config does not match its name');
    } catch (error) {
      mending.setAside(path, messageOf(error));
    }
  }
}

function recoverLayers(context: StoreContext, mending: Mending): LayerRow[] {
  const rows: LayerRow[] = [];
  const known = new Map(context.index.layers().map((row) => [`${row.diffId} ${row.form}`, row]));
  for (const { name, path } of entriesOf(layersDir(context.directory), mending)) {
    try {
      if (findDigest(name) === undefined) mending.setAside(path, 'a layer is named by its diff id, this is none');
      else rows.push(...recoverLayer(context, name, known, mending));
    } catch (error) {
      mending.setAside(path, messageOf(error));
    }
  }
  return rows;
}

/** The forms of one layer; without any, its directory goes. */
function recoverLayer(context: StoreContext, diffId: string, known: ReadonlyMap<string, LayerRow>, mending: Mending): LayerRow[] {
  const { directory } = context;
  const rows: LayerRow[] = [];
  for (const form of Object.keys(FORM_DIRECTORY) as LayerForm[]) {
    const factsPath = layerFactsPath(directory, diffId, form);
    if (hasLayer(directory, diffId, form)) {
      let facts = readLayerFacts(directory, diffId, form);
      if (facts === undefined) {
        const row = known.get(`${diffId} ${form}`);
        facts = row === undefined ? countLayer(directory, diffId, form) : { bytes: row.bytes, entries: row.entries, createdAt: row.createdAt };
        if (!mending.plan) writeLayerFacts(directory, diffId, form, facts);
      }
      rows.push({ diffId, form, ...facts });
    } else if (existsSync(factsPath)) mending.remove(factsPath, unlinkSync); // killed between the facts and the rename that makes the layer
  }
  const path = layerDir(directory, diffId);
  const rest = readdirSync(path).filter((name) => !mending.swept.includes(join(path, name)));
  if (rows.length === 0 && rest.length === 0) mending.remove(path, rmdirSync);
  return rows;
}

function rebuildIndex(context: StoreContext, layers: readonly LayerRow[]): void {
  const { index } = context;
  const images: ImageRow[] = context.records.all().map(({ name, platform, manifestDigest, configDigest, createdAt }) => ({
    name,
    platform,
    manifestDigest,
    configDigest,
    createdAt,
    usedAt: createdAt,
  }));
  const indexed = index.images().map((row) => ({ ...row, usedAt: 0 }));
  const differs =
    !isSameRows(
      indexed,
      images.map((row) => ({ ...row, usedAt: 0 })),
    ) || !isSameRows(index.layers(), layers);
  if (!differs) return;
  index.replaceAll(images, layers);
  context.logger.info({ images: images.length, layers: layers.length }, 'the index was made anew from disk');
}

function isSameRows<T extends object>(some: readonly T[], others: readonly T[]): boolean {
  const texts = (rows: readonly T[]): string[] =>
    rows.map((row) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)))).toSorted();
  return JSON.stringify(texts(some)) === JSON.stringify(texts(others));
}

/** The entries of a directory, less the temporaries of durable writes, which go. */
function entriesOf(directory: string, mending: Mending): Array<{ name: string; path: string }> {
  const entries: Array<{ name: string; path: string }> = [];
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (isTemporary(name)) mending.remove(path, unlinkSync);
    else entries.push({ name, path });
  }
  return entries;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
