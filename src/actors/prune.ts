import { RootwrightError, isRootwrightError } from '../errors.ts';
import type { PruneReport } from '../stores/store.ts';
import { protectedIds } from './checkpoint.ts';
import type { ContainerTable } from './container-table.ts';
import type { ProvisionerParts } from './parts.ts';
import type { PullTable } from './pull.ts';

export interface PruneRequest {
  /** Images that stay with all they need, by name. */
  readonly exclude?: readonly string[] | undefined;
  /** Only tell what would go. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Prunes every store, keeping what any rootfs of any container uses: the union of all checkpoints, config digests included. The caller
 * holds the write lock, so nothing is being provisioned. Fails with PRUNE_FAILED, also where a container's layers are not known: then
 * anything might be in use; INVALID_IMAGE_NAME.
 */
export async function pruneStores(
  parts: ProvisionerParts,
  pulls: PullTable,
  containers: ContainerTable,
  request: PruneRequest,
): Promise<PruneReport> {
  try {
    const keepIds = idsInUse(containers);
    const exclude = (request.exclude ?? []).map((image) => pulls.understand(image));
    const total = { images: [] as string[], layers: [] as string[], bytes: 0 };
    for (const store of parts.stores) {
      const keepImages = exclude.filter((excluded) => excluded.store === store).map(({ name }) => name);
      const { images, layers, bytes } = await store.prune({ keepImages, keepIds, dryRun: request.dryRun ?? false });
      total.images.push(...images);
      total.layers.push(...layers);
      total.bytes += bytes;
    }
    parts.metrics.increment('prunes_total', { outcome: 'ok' });
    if (request.dryRun !== true) parts.metrics.increment('pruned_bytes_total', {}, total.bytes);
    return total;
  } catch (error) {
    parts.metrics.increment('prunes_total', { outcome: 'failed' });
    if (isRootwrightError(error)) throw error;
    throw new RootwrightError('PRUNE_FAILED', `prune failed: ${String(error)}; run it again`, { cause: error });
  }
}

function idsInUse(containers: ContainerTable): Set<string> {
  const ids = new Set<string>();
  const unknown: string[] = [];
  for (const container of containers) {
    for (const id of protectedIds(container.rootfses)) ids.add(id);
    if (container.rootfses.some(({ layersKnown }) => !layersKnown)) unknown.push(container.id);
  }
  if (unknown.length === 0) return ids;
  throw new RootwrightError(
    'PRUNE_FAILED',
    `nothing was pruned: the checkpoint of ${unknown.join(', ')} was damaged, and which layers it uses cannot be told; destroy ${unknown.length === 1 ? 'it' : 'them'} first`,
    { details: { containers: unknown } },
  );
}
