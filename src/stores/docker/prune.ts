import { randomUUID } from 'node:crypto';
import { readdirSync, renameSync } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isRootwrightError, RootwrightError, throwIfAborted } from '../../errors.ts';
import { syncDirectory } from '../../linux/durable.ts';
import { configPath, configsDir, gcDir, gcPath, imagePath, imagesDir, layerDir, layersDir } from '../../paths/docker-store.ts';
import type { PruneOptions, PruneReport } from '../store.ts';
import { findDigest } from './digest.ts';
import { imageKey } from './image-records.ts';
import type { StoreContext } from './store-context.ts';

/**
 * Mark and sweep, as the docker store of Mesos does it (mesos.md 4.3):
 *
 * 1. image records that are not kept go into gc/, and that is made durable;
 * 2. layers, then configs, that nothing names any more follow, each by one rename;
 * 3. gc/ is swept in the background, with whatever an earlier sweep left there.
 *
 * The caller sees to it that no get runs beside and that `keepIds` names what live rootfses use. The store does not rely on it: a get under
 * way pins its ids before it looks whether a layer is there, and prune looks at pins and records in the same turn in which it renames. So
 * a get finds a layer gone and brings it again, or prune leaves it alone. What a get has handed out is the caller's to protect.
 *
 * A failure leaves all that was not reached as it was, and the next prune goes on from there.
 */
export async function pruneStore(context: StoreContext, options: PruneOptions, signal?: AbortSignal): Promise<PruneReport> {
  try {
    throwIfAborted(signal, 'prune');
    const kept = new Set(options.keepImages);
    const records = context.records.all().filter((record) => !kept.has(record.name));
    const images = [...new Set(records.map((record) => record.name))];
    if (options.dryRun === true) return { images, ...report(context, unneeded(context, layersDir(context.directory), options, kept)) };
    for (const record of records) {
      mark(context, imagePath(context.directory, imageKey(record.name, record.platform)));
      context.records.forget(record);
      context.index.removeImage(record.name, record.platform);
    }
    if (records.length > 0) await syncDirectory(imagesDir(context.directory));
    const layers = await markUnneeded(context, layersDir(context.directory), options, signal);
    await markUnneeded(context, configsDir(context.directory), options, signal);
    return { images, ...layers };
  } catch (error) {
    if (isRootwrightError(error) && error.code === 'ABORTED') throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RootwrightError('PRUNE_FAILED', `prune stopped: ${reason}; what it had done so far stays, run it again to go on`, { cause: error });
  } finally {
    if (options.dryRun !== true) void context.sweeper.sweep(gcDir(context.directory));
  }
}

/** Marks so many in one turn, then lets others have theirs. */
const MARKS_A_TURN = 64;

async function markUnneeded(
  context: StoreContext,
  directory: string,
  options: PruneOptions,
  signal: AbortSignal | undefined,
): Promise<{ layers: string[]; bytes: number }> {
  const marked: string[] = [];
  let bytes = 0;
  for (;;) {
    throwIfAborted(signal, 'prune');
    const ids = unneeded(context, directory, options).slice(0, MARKS_A_TURN);
    if (ids.length === 0) return { layers: marked, bytes };
    bytes += report(context, ids).bytes;
    for (const id of ids) {
      if (directory === layersDir(context.directory)) {
        mark(context, layerDir(context.directory, id));
        context.index.removeLayer(id);
      } else mark(context, configPath(context.directory, id));
      marked.push(id);
    }
    await nextTurn();
  }
}

/** Ids in layers/ or configs/ that no record (of `kept` images, where given), no `keepIds` and no get under way names, sorted. */
function unneeded(context: StoreContext, directory: string, options: PruneOptions, kept?: ReadonlySet<string>): string[] {
  const needed = new Set(options.keepIds);
  for (const record of context.records.all()) {
    if (kept !== undefined && !kept.has(record.name)) continue;
    needed.add(record.configDigest);
    for (const diffId of record.diffIds) needed.add(diffId);
  }
  return readdirSync(directory)
    .filter((name) => findDigest(name) !== undefined && !needed.has(name) && !context.pins.has(name))
    .toSorted();
}

function report(context: StoreContext, layers: string[]): { layers: string[]; bytes: number } {
  const ids = new Set(layers);
  const bytes = context.index.layers().reduce((sum, row) => sum + (ids.has(row.diffId) ? row.bytes : 0), 0);
  return { layers, bytes };
}

/** A UUID in the name: it can't meet an earlier one. What is gone already, by hand or by a prune that was killed, is as good as marked. */
function mark(context: StoreContext, path: string): void {
  try {
    renameSync(path, gcPath(context.directory, basename(path), randomUUID()));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
