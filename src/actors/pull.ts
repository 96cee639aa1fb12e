import { RootwrightError } from '../errors.ts';
import type { LayerForm } from '../paths/docker-store.ts';
import type { GetOptions, ImageInfo, Platform, PullProgress, Store } from '../stores/store.ts';
import { shareWork, type SharedWork } from './runtime/shared-work.ts';
import type { ProvisionerParts } from './parts.ts';

/** An image name, understood: its store and its canonical form. */
export interface NamedImage {
  readonly store: Store;
  readonly name: string;
}

export interface PullRequest {
  readonly image: NamedImage;
  readonly form: LayerForm;
  /** False: the source is asked again though the image is present. */
  readonly cached?: boolean | undefined;
  /** The engine's where absent. */
  readonly platform?: Platform | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

/**
 * The pulls under way. All who want the same image in the same form share one `store.get`, each with its own AbortSignal; it is aborted
 * when the last has left. Runs are told apart by identity, so the late end of an aborted pull never touches the one that came after it
 * (defect R7 of mesos.md 3.7).
 */
export class PullTable {
  readonly #parts: Pick<ProvisionerParts, 'stores' | 'platform' | 'metrics'>;
  readonly #pulls = new Map<string, SharedWork<ImageInfo>>();
  readonly #listeners = new Map<string, Set<(progress: PullProgress) => void>>();

  constructor(parts: Pick<ProvisionerParts, 'stores' | 'platform' | 'metrics'>) {
    this.#parts = parts;
  }

  /** Pulls under way. */
  get size(): number {
    return this.#pulls.size;
  }

  /** What `image` names. Fails with INVALID_IMAGE_NAME, IMAGE_UNSUPPORTED. */
  understand(image: string): NamedImage {
    const store = this.#parts.stores.find((candidate) => candidate.accepts(image));
    if (store !== undefined) return { store, name: store.normalize(image) };
    throw new RootwrightError(
      'INVALID_IMAGE_NAME',
      `no store takes the image name ${JSON.stringify(image)}; write oci:DIR[:tag] or docker-archive:FILE[:ref]`,
      {
        details: { image },
      },
    );
  }

  /**
   * The image with its layers in `form`. Fails as {@link Store.get} does, for all who share; ABORTED for the one that left: at once while
   * others wait, for the last only when the pull has really stopped.
   */
  async get(request: PullRequest, signal?: AbortSignal): Promise<ImageInfo> {
    const { store, name } = request.image;
    const cached = request.cached ?? true;
    const platform = request.platform ?? this.#parts.platform;
    const { os = '', architecture = '', variant = '' } = platform ?? {};
    // A pull that must ask the source is not served by one that need not.
    const key = JSON.stringify([name, request.form, cached, os, architecture, variant]);
    const stopListening = this.#listen(key, request.onProgress);
    try {
      return await shareWork(
        this.#pulls,
        key,
        (aborted) => this.#run(store, name, { form: request.form, cached, ...(platform === undefined ? {} : { platform }) }, key, aborted),
        signal,
      );
    } finally {
      stopListening();
    }
  }

  async #run(store: Store, name: string, options: GetOptions, key: string, signal: AbortSignal): Promise<ImageInfo> {
    const started = performance.now();
    const onProgress = (progress: PullProgress): void => this.#hear(key, progress);
    try {
      const image = await store.get(name, { ...options, onProgress }, signal);
      this.#count('ok', started);
      return image;
    } catch (error) {
      this.#count(signal.aborted ? 'aborted' : 'failed', started);
      throw error;
    }
  }

  #count(outcome: 'ok' | 'failed' | 'aborted', started: number): void {
    this.#parts.metrics.increment('pulls_total', { outcome });
    this.#parts.metrics.observe('pull_seconds', { outcome }, (performance.now() - started) / 1000);
  }

  #hear(key: string, progress: PullProgress): void {
    if (progress.state === 'done') {
      this.#parts.metrics.increment('layers_total', { outcome: 'unpacked' });
      this.#parts.metrics.increment('unpacked_bytes_total', {}, progress.totalBytes);
    }
    if (progress.state === 'exists') this.#parts.metrics.increment('layers_total', { outcome: 'exists' });
    for (const listener of this.#listeners.get(key) ?? []) listener(progress);
  }

  #listen(key: string, listener: ((progress: PullProgress) => void) | undefined): () => void {
    if (listener === undefined) return () => undefined;
    const own = (progress: PullProgress): void => listener(progress); // the same function given twice hears twice
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(own));
    return () => {
      listeners.delete(own);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }
}
