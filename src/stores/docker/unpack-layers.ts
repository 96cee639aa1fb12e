import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LimitFunction } from 'p-limit';
import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { FORM_DIRECTORY, layerFormDir, stagedDir, type LayerForm } from '../../paths/docker-store.ts';
import type { PullProgress } from '../store.ts';
import { asIoError } from './failures.ts';
import type { SourceLayer } from './image-source.ts';
import type { LayerWork } from './layer-table.ts';
import type { StoreContext } from './store-context.ts';

/** What {@link unpackLayers} is to do. */
export interface UnpackRequest {
  /** For progress. */
  readonly image: string;
  /** Each once. */
  readonly layers: readonly SourceLayer[];
  readonly form: LayerForm;
  readonly onProgress?: (progress: PullProgress) => void;
  /** Hears of every work that reads the request's source: it may go on for others after the request was cancelled. */
  readonly onStart: (work: LayerWork) => void;
}

/**
 * Unpacks those layers that the store lacks in this form, several at once over the whole store, and settles when all that it began or
 * waited for has. A layer that another image is unpacking is waited for; should that fail, this image tries it from its own source. On the
 * first failure the rest is given up; layers that were finished by then stay. Fails with LAYER_*, DIGEST_MISMATCH, LIMIT_EXCEEDED,
 * IO_ERROR, ABORTED.
 */
export async function unpackLayers(context: StoreContext, request: UnpackRequest, signal: AbortSignal | undefined): Promise<void> {
  const failure = new AbortController();
  const either = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]);
  // Every layer listens, there may be hundreds.
  setMaxListeners(0, either);
  let first: { readonly error: unknown } | undefined;
  await Promise.all(
    request.layers.map(async (layer) => {
      try {
        await ensureLayer(context, request, layer, either);
      } catch (error) {
        first ??= { error };
        failure.abort(error);
      }
    }),
  );
  throwIfAborted(signal, 'pulling an image');
  if (first !== undefined) throw first.error;
}

/** Whether the store has this layer in this form. Synchronous, so that nothing can come between this and what follows in the same turn. */
export function hasLayer(store: string, diffId: string, form: LayerForm): boolean {
  return isDirectory(layerFormDir(store, diffId, form));
}

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

async function ensureLayer(context: StoreContext, request: UnpackRequest, layer: SourceLayer, signal: AbortSignal): Promise<void> {
  const { form } = request;
  const tell = (state: PullProgress['state'], bytes: number): void =>
    request.onProgress?.({ image: request.image, layer: layer.diffId, state, bytes, totalBytes: layer.size });
  const onBytes = (bytes: number): void => tell('unpacking', bytes);
  if (hasLayer(context.directory, layer.diffId, form)) return tell('exists', layer.size);
  tell('waiting', 0);
  for (;;) {
    throwIfAborted(signal, 'pulling an image');
    const others = context.layers.find(layer.diffId, form);
    if (others !== undefined) {
      try {
        await others.join(onBytes, signal);
        break;
      } catch (error) {
        throwIfAborted(signal, 'pulling an image');
        context.logger.info({ err: error, layer: layer.diffId }, 'another image failed to bring this layer, trying our own source');
        continue;
      }
    }
    // It may have come and gone from the table since.
    if (hasLayer(context.directory, layer.diffId, form)) break;
    const work = context.layers.start(layer.diffId, form, (onBytes, signal) => unpackLayer(context, layer, form, onBytes, signal));
    request.onStart(work);
    await work.join(onBytes, signal);
    break;
  }
  tell('done', layer.size);
}

async function unpackLayer(
  context: StoreContext,
  layer: SourceLayer,
  form: LayerForm,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const staged = stagedDir(context.directory, randomUUID());
  const path = join(staged, FORM_DIRECTORY[form]);
  try {
    const {
      entries,
      bytes,
      warnings = [],
    } = await inTurn(
      context.limit,
      async () => {
        const unpacker = await context.unpacker();
        throwIfAborted(signal, 'pulling an image');
        mkdirSync(staged);
        const { blob, mediaType, digest, diffId } = layer;
        return unpacker.unpack({ source: blob, mediaType, digest, diffId, form, target: path, onBytes }, signal);
      },
      signal,
    );
    if (warnings.length > 0) context.logger.warn({ layer: layer.diffId, warnings }, 'the layer was not unpacked to the last attribute');
    // Complete: worth keeping even where nobody waits any more.
    await context.committer.commit({ diffId: layer.diffId, form, path, bytes, entries, createdAt: Date.now() });
  } catch (error) {
    throw asIoError(error, `cannot unpack the layer ${layer.diffId}`);
  } finally {
    await removeStaged(context, staged);
  }
}

async function removeStaged(context: StoreContext, staged: string): Promise<void> {
  try {
    rmdirSync(staged);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') await context.sweeper.remove(staged);
  }
}

/** Runs `body` when the limit has room. p-limit knows no AbortSignal: whoever is still in its queue leaves here, and its turn passes unused. */
function inTurn<T>(limit: LimitFunction, body: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    let left = false;
    const leave = (): void => {
      left = true;
      reject(new RootwrightError('ABORTED', 'unpacking a layer was aborted', { cause: signal.reason }));
    };
    if (signal.aborted) return leave();
    signal.addEventListener('abort', leave, { once: true });
    void limit(async () => {
      signal.removeEventListener('abort', leave);
      if (left) return;
      try {
        resolve(await body());
      } catch (error) {
        reject(error);
      }
    });
  });
}
