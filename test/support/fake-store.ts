import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RootwrightError, throwIfAborted } from '../../src/errors.ts';
import { configPath, configsDir, dockerStoreDir, layerDir, layerFormDir, layersDir } from '../../src/paths/docker-store.ts';
import type { GetOptions, ImageInfo, ImageSummary, PruneOptions, PruneReport, Store, StoreRecovery } from '../../src/stores/store.ts';

/**
 * A store whose images are given by the test: `define('oci:/i/app', ['base', 'app'])`. Layers are small real directories in the places of
 * the docker store; what is present is what is on disk. Tests order and fail its work through `beforeGet` and `beforePrune`.
 */
export class FakeStore implements Store {
  readonly type = 'docker';
  readonly directory: string;
  /** Awaited in each get, before and between its layers. */
  beforeGet: (name: string, signal: AbortSignal) => Promise<void> | void = () => undefined;
  beforePrune: () => Promise<void> | void = () => undefined;
  /** Runs of get so far, and those under way. */
  gets = 0;
  running = 0;
  recoveries = 0;
  readonly #defined = new Map<string, readonly string[]>();
  readonly #present = new Set<string>();

  constructor(root: string) {
    this.directory = dockerStoreDir(root);
    mkdirSync(layersDir(this.directory), { recursive: true });
    mkdirSync(configsDir(this.directory), { recursive: true });
  }

  /** The same directory after a kill: what was under way is forgotten. */
  reopen(root: string): FakeStore {
    const store = new FakeStore(root);
    for (const [name, layers] of this.#defined) store.define(name, layers);
    for (const name of this.#present) store.#present.add(name);
    return store;
  }

  /** Makes an image of these layers, lowest first. */
  define(name: string, layers: readonly string[]): string {
    this.#defined.set(name, layers);
    return name;
  }

  accepts(name: string): boolean {
    return name.startsWith('oci:');
  }

  normalize(name: string): string {
    if (name === 'oci:') throw new RootwrightError('INVALID_IMAGE_NAME', 'the image name oci: names nothing');
    return name.endsWith(':latest') ? name : `${name}:latest`;
  }

  async recover(): Promise<StoreRecovery> {
    this.recoveries += 1;
    return { swept: [], quarantined: [], images: this.#present.size, layers: this.layersOnDisk().length };
  }

  async get(name: string, { form }: GetOptions, signal: AbortSignal = new AbortController().signal): Promise<ImageInfo> {
    this.gets += 1;
    this.running += 1;
    try {
      const normalised = this.normalize(name);
      await this.beforeGet(normalised, signal);
      throwIfAborted(signal, `pull of ${name}`);
      const layers = this.#defined.get(normalised) ?? this.#defined.get(normalised.slice(0, -':latest'.length));
      if (layers === undefined) throw new RootwrightError('IMAGE_NOT_FOUND', `there is no image ${name}`);
      for (const layer of layers) {
        const path = layerFormDir(this.directory, idOf(layer), form);
        mkdirSync(path, { recursive: true });
        writeFileSync(join(path, `from-${layer}`), layer);
        await this.beforeGet(normalised, signal);
        throwIfAborted(signal, `pull of ${name}`);
      }
      writeFileSync(configPath(this.directory, configOf(normalised)), '{}');
      this.#present.add(normalised);
      return {
        name: normalised,
        manifestDigest: `sha256:manifest-${normalised.replaceAll('/', '_')}`,
        configDigest: configOf(normalised),
        config: { os: 'linux' },
        layers: layers.map((layer) => ({ id: idOf(layer), path: layerFormDir(this.directory, idOf(layer), form) })),
      };
    } finally {
      this.running -= 1;
    }
  }

  async list(): Promise<ImageSummary[]> {
    return [...this.#present].map((name) => ({
      name,
      platform: { os: 'linux', architecture: 'amd64' },
      manifestDigest: '',
      configDigest: configOf(name),
      layerIds: this.#idsOf(name),
      bytes: 0,
      createdAt: 0,
      usedAt: 0,
    }));
  }

  async prune({ keepImages, keepIds, dryRun = false }: PruneOptions): Promise<PruneReport> {
    if (this.running > 0) throw new RootwrightError('PRUNE_FAILED', 'the lock is broken: a get runs beside prune');
    await this.beforePrune();
    const images = [...this.#present].filter((name) => !keepImages.includes(name));
    const kept = new Set([...keepIds, ...keepImages.flatMap((name) => [...this.#idsOf(name), configOf(name)])]);
    const layers = this.layersOnDisk().filter((id) => !kept.has(id));
    if (!dryRun) {
      for (const name of images) this.#present.delete(name);
      for (const id of layers) rmSync(layerDir(this.directory, id), { recursive: true });
      for (const config of readdirSync(configsDir(this.directory))) if (!kept.has(config)) rmSync(configPath(this.directory, config));
    }
    return { images, layers, bytes: layers.length };
  }

  async close(): Promise<void> {}

  layersOnDisk(): string[] {
    return readdirSync(layersDir(this.directory));
  }

  hasLayer(layer: string): boolean {
    return existsSync(layerDir(this.directory, idOf(layer)));
  }

  hasConfig(name: string): boolean {
    return existsSync(configPath(this.directory, configOf(this.normalize(name))));
  }

  #idsOf(name: string): string[] {
    return (this.#defined.get(name) ?? this.#defined.get(name.slice(0, -':latest'.length)) ?? []).map(idOf);
  }
}

const idOf = (layer: string): string => `sha256:${layer}`;
const configOf = (name: string): string => `sha256:config-${name.replaceAll('/', '_')}`;
