import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Kernel } from '../../linux/kernel.ts';
import { configPath, layerFormDir, type LayerForm } from '../../paths/docker-store.ts';
import { quarantineDir } from '../../paths/provisioner.ts';
import { SILENT, type StoreLogger } from '../logger.ts';
import type { State } from '../state.ts';
import type { GetOptions, ImageInfo, ImageSummary, PruneOptions, PruneReport, Store, StoreRecovery } from '../store.ts';
import { LayerCommitter } from './commit-layer.ts';
import { digestOf, algorithmOf } from './digest.ts';
import { asIoError } from './failures.ts';
import { hasDockerTransport, parseImageName } from './image-name.ts';
import { ImageRecords, type ImageRecord } from './image-records.ts';
import { LayerTable } from './layer-table.ts';
import { Pins } from './pins.ts';
import { formatPlatform, machinePlatform, normalizePlatform, parsePlatform } from './platform.ts';
import { pruneStore } from './prune.ts';
import { pullImage } from './pull-image.ts';
import { makeDirectories, recoverStore } from './recovery.ts';
import type { StoreContext, Unpacker } from './store-context.ts';
import { Sweeper } from './sweeper.ts';
import { isDirectory } from './unpack-layers.ts';

export interface DockerStoreOptions {
  /** `<root>/store/docker` (paths/docker-store.ts), made where absent. */
  readonly directory: string;
  readonly kernel: Kernel;
  /** The open index of the root: who holds it is the only one at work in `directory`. It stays open when the store closes. */
  readonly state: State;
  /** Layers unpacked at once; LIMITS.concurrentLayers where absent. */
  readonly concurrency?: number;
  readonly logger?: StoreLogger;
  /** Where damaged files go; `<root>/quarantine` where absent. */
  readonly quarantine?: string;
  /** For tests; layers/unpack.ts where absent. The store closes it. */
  readonly unpacker?: Unpacker;
}

/** The store of Docker and OCI images, from local sources: OCI layouts and docker-archives. The layout on disk is in paths/docker-store.ts. */
export class DockerStore implements Store {
  readonly type = 'docker';
  readonly #context: StoreContext;
  readonly #platform = machinePlatform();
  readonly #platformText = formatPlatform(this.#platform);
  /** What a record gives in each form, made once; the disk is looked at each time. */
  readonly #infos = new WeakMap<ImageRecord, Map<LayerForm, ImageInfo>>();
  /** Last uses that the index does not know yet. */
  #uses = new Map<ImageRecord, number>();
  #usesTimer: NodeJS.Timeout | undefined;
  readonly #pulls = new Set<Promise<unknown>>();
  #unpacker: Promise<Unpacker> | undefined;
  #closed = false;

  private constructor(options: DockerStoreOptions) {
    const { directory, kernel, logger = SILENT, state, concurrency = LIMITS.concurrentLayers } = options;
    this.#unpacker = options.unpacker === undefined ? undefined : Promise.resolve(options.unpacker);
    this.#context = {
      directory,
      quarantine: options.quarantine ?? quarantineDir(dirname(dirname(directory))),
      kernel,
      index: state.index,
      logger,
      records: new ImageRecords(directory, logger),
      pins: new Pins(),
      layers: new LayerTable(),
      committer: new LayerCommitter(directory, kernel, state.index),
      unpacker: () => (this.#unpacker ??= loadUnpacker(kernel)),
      sweeper: new Sweeper(kernel, logger),
      limit: pLimit(concurrency),
      background: new Set(),
    };
  }

  /** Opens a store. `recover` comes before all else where the last process may have been killed. Fails with IO_ERROR. */
  static open(options: DockerStoreOptions): Promise<DockerStore> {
    try {
      makeDirectories(options.directory);
      return Promise.resolve(new DockerStore(options));
    } catch (error) {
      return Promise.reject(asIoError(error, `cannot make the store ${options.directory}`));
    }
  }

  /** Deletions that failed so far, in sweeps and of staged files. */
  get sweepErrors(): number {
    return this.#context.sweeper.errors;
  }

  accepts(name: string): boolean {
    return hasDockerTransport(name);
  }

  normalize(name: string): string {
    return parseImageName(name).text;
  }

  async recover(options: { readonly plan?: boolean } = {}): Promise<StoreRecovery> {
    try {
      return await recoverStore(this.#context, options.plan ?? false);
    } catch (error) {
      throw asIoError(error, `cannot recover the store ${this.#context.directory}`);
    }
  }

  async get(text: string, options: GetOptions, signal?: AbortSignal): Promise<ImageInfo> {
    this.#refuseWhenClosed();
    throwIfAborted(signal, 'pulling an image');
    const name = parseImageName(text);
    const platformAsked = options.platform !== undefined;
    const platform = options.platform === undefined ? this.#platform : normalizePlatform(options.platform);
    if (options.cached ?? true) {
      const present = this.#findPresent(name.text, platformAsked ? formatPlatform(platform) : this.#platformText, options.form);
      if (present !== undefined) return present;
    }
    const pull = pullImage(this.#context, { ...options, name, platform, platformAsked }, signal);
    this.#pulls.add(pull);
    try {
      const record = await pull;
      return this.#infoOf(record, options.form) ?? this.#vanished(record);
    } finally {
      this.#pulls.delete(pull);
    }
  }

  list(): Promise<ImageSummary[]> {
    this.#flushUses();
    const bytes = new Map<string, number>();
    for (const row of this.#context.index.layers()) bytes.set(row.diffId, (bytes.get(row.diffId) ?? 0) + row.bytes);
    const usedAt = new Map(this.#context.index.images().map((row) => [`${row.name}\0${row.platform}`, row.usedAt]));
    const summaries = this.#context.records.all().map((record) => ({
      name: record.name,
      platform: parsePlatform(record.platform),
      manifestDigest: record.manifestDigest,
      configDigest: record.configDigest,
      layerIds: record.diffIds,
      bytes: record.diffIds.reduce((sum, diffId) => sum + (bytes.get(diffId) ?? 0), 0),
      createdAt: record.createdAt,
      usedAt: usedAt.get(`${record.name}\0${record.platform}`) ?? record.createdAt,
    }));
    return Promise.resolve(summaries);
  }

  async prune(options: PruneOptions, signal?: AbortSignal): Promise<PruneReport> {
    this.#refuseWhenClosed();
    this.#flushUses();
    return pruneStore(this.#context, options, signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#pulls);
    await Promise.all(this.#context.background);
    await this.#context.sweeper.idle();
    this.#flushUses();
    const unpacker = await this.#unpacker?.catch(() => undefined);
    await unpacker?.close();
  }

  /** The image where all of it is on disk (mesos.md 4.2, DS4). Synchronous: this is what every provision waits for. */
  #findPresent(name: string, platform: string, form: LayerForm): ImageInfo | undefined {
    const record = this.#context.records.find(name, platform);
    if (record === undefined) return undefined;
    const info = this.#infoOf(record, form);
    if (info === undefined || !info.layers.every((layer) => isDirectory(layer.path))) return undefined;
    if (statSync(configPath(this.#context.directory, record.configDigest), { throwIfNoEntry: false }) === undefined) return undefined;
    this.#used(record);
    return info;
  }

  /** undefined where the config can't be read: then the image is brought again. */
  #infoOf(record: ImageRecord, form: LayerForm): ImageInfo | undefined {
    const forms = this.#infos.get(record) ?? new Map<LayerForm, ImageInfo>();
    const known = forms.get(form);
    if (known !== undefined) return known;
    const { directory } = this.#context;
    const config = [...forms.values()][0]?.config ?? this.#readConfig(record);
    if (config === undefined) return undefined;
    const { name, manifestDigest, configDigest, diffIds } = record;
    const layers = diffIds.map((id) => Object.freeze({ id, path: layerFormDir(directory, id, form) }));
    const info = Object.freeze({ name, manifestDigest, configDigest, config, layers: Object.freeze(layers) });
    this.#infos.set(record, forms.set(form, info));
    return info;
  }

  #readConfig(record: ImageRecord): Readonly<Record<string, unknown>> | undefined {
    const path = configPath(this.#context.directory, record.configDigest);
    try {
      const bytes = readFileSync(path);
      if (digestOf(bytes, algorithmOf(record.configDigest)) === record.configDigest)
        return deepFreeze(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>);
      this.#context.logger.warn({ path }, 'image config does not match its digest, passed over');
    } catch (error) {
      this.#context.logger.warn({ err: error, path }, 'image config can not be read, passed over');
    }
    return undefined;
  }

  #vanished(record: ImageRecord): never {
    const path = join(this.#context.directory, record.configDigest);
    throw new RootwrightError('STORE_CORRUPT', `the config of ${record.name} was written and can't be read again; check the file system`, {
      details: { path },
    });
  }

  #used(record: ImageRecord): void {
    this.#uses.set(record, Date.now());
    this.#usesTimer ??= setTimeout(() => this.#flushUses(), USES_DELAY_MS).unref();
  }

  /** Uses are told to the index many at once: none is worth a transaction on the way of a provision. */
  #flushUses(): void {
    clearTimeout(this.#usesTimer);
    this.#usesTimer = undefined;
    const uses = [...this.#uses].map(([{ name, platform }, usedAt]) => ({ name, platform, usedAt }));
    this.#uses = new Map();
    try {
      this.#context.index.touchImages(uses);
    } catch (error) {
      this.#context.logger.warn({ err: error }, 'last uses of images were not noted');
    }
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new RootwrightError('ENGINE_CLOSED', 'the docker store is closed');
  }
}

const USES_DELAY_MS = 1000;

/** On demand: it brings worker threads along. */
async function loadUnpacker(kernel: Kernel): Promise<Unpacker> {
  const { LayerUnpacker } = await import('../layers/unpack.ts');
  return new LayerUnpacker({ kernel });
}

function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child);
  return Object.freeze(value);
}
