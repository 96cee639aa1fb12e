import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { throwIfAborted } from '../../errors.ts';
import { writeDurably } from '../../linux/durable.ts';
import { configPath, stagedDir } from '../../paths/docker-store.ts';
import type { GetOptions, Platform } from '../store.ts';
import { asIoError } from './failures.ts';
import type { ImageName } from './image-name.ts';
import type { ImageRecord } from './image-records.ts';
import type { ImageSource } from './image-source.ts';
import type { LayerWork } from './layer-table.ts';
import { formatPlatform } from './platform.ts';
import type { StoreContext } from './store-context.ts';
import { uniqueLayers } from './unique-layers.ts';
import { unpackLayers } from './unpack-layers.ts';

/** An image to bring into the store. */
export interface PullRequest extends GetOptions {
  readonly name: ImageName;
  readonly platform: Platform;
  readonly platformAsked: boolean;
}

/**
 * Brings an image into the store: looks it up at its source, unpacks the layers that are missing in the form asked for, then writes the
 * config and at last the record, each durable before the next, so that a record always names what is there. From the moment its ids are
 * known until it has settled, prune passes them over. Fails as `Store.get`; then only whole layers are left.
 */
export async function pullImage(context: StoreContext, request: PullRequest, signal: AbortSignal | undefined): Promise<ImageRecord> {
  const { openSource } = await import('./open-source.ts');
  const work = new WorkDirectory(context);
  let release: (() => void) | undefined;
  try {
    const { name, platform, platformAsked, form, onProgress } = request;
    throwIfAborted(signal, 'pulling an image');
    const source = await openSource({ name, platform, platformAsked, workDirectory: () => Promise.resolve(work.path()) }, signal);
    warnOfOtherPlatform(context, request, source);
    const layers = uniqueLayers(source.layers);
    release = context.pins.hold([source.configDigest, ...layers.map((layer) => layer.diffId)]);
    await unpackLayers(
      context,
      { image: name.text, layers, form, onStart: (started) => work.usedBy(started), ...(onProgress === undefined ? {} : { onProgress }) },
      signal,
    );
    const { manifestDigest, configDigest } = source;
    const record = {
      name: name.text,
      platform: formatPlatform(platform),
      manifestDigest,
      configDigest,
      diffIds: layers.map((layer) => layer.diffId),
    };
    return await keepImage(context, record, source);
  } catch (error) {
    throw asIoError(error, `cannot bring the image ${request.name.text}`);
  } finally {
    release?.();
    await work.remove();
  }
}

async function keepImage(context: StoreContext, image: Omit<ImageRecord, 'createdAt'>, source: ImageSource): Promise<ImageRecord> {
  const path = configPath(context.directory, image.configDigest);
  if (!isFileWith(path, source.configBytes)) await writeDurably(path, source.configBytes);
  const known = context.records.find(image.name, image.platform);
  const record = { ...image, createdAt: known !== undefined && isSame(known, image) ? known.createdAt : Date.now() };
  await context.records.put(record);
  const { name, platform, manifestDigest, configDigest, createdAt } = record;
  context.index.putImage({ name, platform, manifestDigest, configDigest, createdAt, usedAt: Date.now() });
  context.logger.info({ image: name, manifest: manifestDigest, layers: record.diffIds.length }, 'image is in the store');
  return record;
}

function isSame(known: ImageRecord, image: Omit<ImageRecord, 'createdAt'>): boolean {
  return known.manifestDigest === image.manifestDigest && known.configDigest === image.configDigest && known.diffIds.join() === image.diffIds.join();
}

function isFileWith(path: string, bytes: Buffer): boolean {
  try {
    return readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}

function warnOfOtherPlatform(context: StoreContext, request: PullRequest, source: ImageSource): void {
  const { os, architecture } = source.config;
  if (os === undefined || architecture === undefined || (os === request.platform.os && architecture === request.platform.architecture)) return;
  context.logger.warn({ image: request.name.text, platform: `${os}/${architecture}` }, 'the image is for another platform than this machine');
}

/** A directory for what a pull decompresses, in staging. It goes when the pull has settled and no layer is read from it any more. */
class WorkDirectory {
  readonly #context: StoreContext;
  readonly #works: LayerWork[] = [];
  #path: string | undefined;

  constructor(context: StoreContext) {
    this.#context = context;
  }

  path(): string {
    if (this.#path === undefined) {
      this.#path = stagedDir(this.#context.directory, randomUUID());
      mkdirSync(this.#path);
    }
    return this.#path;
  }

  usedBy(work: LayerWork): void {
    this.#works.push(work);
  }

  /** Waits for nobody else's sake: a layer that others still wait for is watched in the background. */
  async remove(): Promise<void> {
    const path = this.#path;
    if (path === undefined) return;
    const running = this.#works.filter((work) => !work.hasSettled);
    if (running.length === 0) {
      await this.#context.sweeper.remove(path);
      return;
    }
    const { background, sweeper } = this.#context;
    const removal = Promise.all(running.map((work) => work.settled)).then(() => sweeper.remove(path));
    background.add(removal);
    void removal.finally(() => background.delete(removal));
  }
}
