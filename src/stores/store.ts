import type { LayerForm } from '../paths/docker-store.ts';

/**
 * A store keeps the images and layers of one image type on disk. What it hands out is complete and verified: every byte was checked
 * against its digest before one rename made it visible.
 *
 * @example
 * const image = await store.get('oci:/images/alpine:latest', { form: 'overlay' }, signal);
 * image.layers.map((layer) => layer.path);        // lowest first
 * await store.prune({ keepImages: [], keepIds: new Set(['sha256:…']) });
 *
 * Implementations: docker/ (covers OCI). test/conformance/store.ts holds them all. Modelled on mesos::internal::slave::Store.
 */
export interface Store {
  readonly type: ImageType;
  /** Whether this store is the one for `name` (by its transport). */
  accepts(name: string): boolean;
  /** The canonical name: two names that mean the same image give the same string. Fails with INVALID_IMAGE_NAME. */
  normalize(name: string): string;
  /** Brings the directory in order after any crash: sweeps staging and gc leftovers, rebuilds the index from disk where it must. With `plan` it changes nothing and tells what it would do. */
  recover(options?: { readonly plan?: boolean }): Promise<StoreRecovery>;
  /**
   * The image with all its layers present in `form`. With `cached` (the default) an image that is present is not looked up at its source
   * again. Callers share no work here: concurrent gets of one image are joined by the pull actor. Fails with INVALID_IMAGE_NAME,
   * IMAGE_*, PLATFORM_NOT_FOUND, DIGEST_MISMATCH, LAYER_*, LIMIT_EXCEEDED, IO_ERROR; ABORTED once all work has stopped.
   * After a failure the layers that were finished stay, nothing else does.
   */
  get(name: string, options: GetOptions, signal?: AbortSignal): Promise<ImageInfo>;
  /** Images in the store, by name. */
  list(): Promise<ImageSummary[]>;
  /**
   * Forgets every image but `keepImages`, then removes every layer and config that neither a remaining image nor `keepIds` names. Marks
   * by rename into gc/, and sweeps after it has answered. With `dryRun` it only tells. Fails with PRUNE_FAILED; a repeat goes on.
   */
  prune(options: PruneOptions, signal?: AbortSignal): Promise<PruneReport>;
  /** Waits for background sweeps and lets go of the disk. */
  close(): Promise<void>;
}

export type ImageType = 'docker' | 'appc';

export interface GetOptions {
  readonly form: LayerForm;
  readonly cached?: boolean;
  readonly platform?: Platform;
  readonly onProgress?: (progress: PullProgress) => void;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface ImageInfo {
  /** The normalised name. */
  readonly name: string;
  readonly manifestDigest: string;
  /** Its id among the ids that protect things from prune. */
  readonly configDigest: string;
  /** The image config as the image has it (OCI image-spec config.md). */
  readonly config: Readonly<Record<string, unknown>>;
  /** Lowest first, each layer once. */
  readonly layers: readonly LayerInfo[];
}

export interface LayerInfo {
  /** The diff id, 'sha256:…' of the uncompressed tar. */
  readonly id: string;
  /** Absolute directory of the layer in the form asked for. */
  readonly path: string;
}

export interface ImageSummary {
  readonly name: string;
  /** The platform that was asked for; an image pulled for two platforms is listed twice. */
  readonly platform: Platform;
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly layerIds: readonly string[];
  /** Bytes of its layers' tar archives, once for each form present: about what they take on disk; shared layers count in each image. */
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly usedAt: number;
}

/** One event of one layer. States come in this order, some may be missing; 'exists' and 'done' are final. */
export interface PullProgress {
  readonly image: string;
  readonly layer: string;
  readonly state: 'waiting' | 'unpacking' | 'done' | 'exists';
  /** Compressed bytes so far, and in all. */
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface PruneOptions {
  /** Normalised names that stay with all they need. */
  readonly keepImages: readonly string[];
  /** Diff ids and config digests that live rootfses use. */
  readonly keepIds: ReadonlySet<string>;
  readonly dryRun?: boolean;
}

export interface PruneReport {
  readonly images: readonly string[];
  readonly layers: readonly string[];
  /** Bytes that the removed layers took. */
  readonly bytes: number;
}

export interface StoreRecovery {
  /** Staging and gc entries swept. */
  readonly swept: readonly string[];
  /** What was found damaged and set aside, with the reason. */
  readonly quarantined: ReadonlyArray<{ readonly path: string; readonly reason: string }>;
  readonly images: number;
  readonly layers: number;
}
