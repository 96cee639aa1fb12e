import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { backendDir, checkpointPath, readyPath, rootfsPath } from '../paths/provisioner.ts';
import type { Backend } from '../backends/backend.ts';
import type { ImageInfo, Platform, PullProgress } from '../stores/store.ts';
import { rewriteCheckpoint, writeFirstCheckpoint } from './checkpoint-file.ts';
import type { Container, Rootfs } from './container-record.ts';
import { swallow, type ProvisionerParts } from './parts.ts';
import type { NamedImage, PullTable } from './pull.ts';
import { removeBackendDirectories, removeEmptyContainer, removeFile } from './remove-container.ts';

export interface ProvisionRequest {
  readonly image: NamedImage;
  readonly backend: Backend;
  readonly cached?: boolean | undefined;
  readonly platform?: Platform | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

/** A rootfs that stands. */
export interface Provisioned {
  readonly container: string;
  readonly rootfsId: string;
  /** Absolute path of the root filesystem. */
  readonly rootfs: string;
  readonly backend: string;
  /** Writable directories outside `rootfs` that a disk quota must count. */
  readonly ephemeralVolumes: readonly string[];
  readonly image: Pick<ImageInfo, 'name' | 'manifestDigest' | 'configDigest' | 'config'>;
  /** Diff ids and directories, lowest first. */
  readonly layers: ImageInfo['layers'];
}

/**
 * The steps of one provision, under the read lock: pull, checkpoint, assemble, mark as whole. The order is what makes a kill at any
 * instruction harmless: the checkpoint is durable before the backend begins, the marker comes when it has finished.
 *
 * On any failure, an abort included, the rootfs is taken apart again, only after the backend has settled, and the checkpoint no longer
 * names it. Where that clean-up fails too it is counted, the container keeps the remains, and destroy takes them.
 */
export async function provisionRootfs(
  parts: ProvisionerParts,
  pulls: PullTable,
  container: Container,
  request: ProvisionRequest,
  signal: AbortSignal,
): Promise<Provisioned> {
  const { backend } = request;
  const { cached, platform, onProgress } = request;
  const image = await pulls.get({ image: request.image, form: backend.form, cached, platform, onProgress }, signal);
  signal.throwIfAborted();
  const rootfs: Rootfs = {
    id: randomUUID(),
    backend: backend.name,
    image: image.name,
    manifestDigest: image.manifestDigest,
    configDigest: image.configDigest,
    layers: image.layers,
    createdAt: Date.now(),
    whole: false,
    layersKnown: true,
  };
  const directory = backendDir(container.directory, backend.name);
  const path = rootfsPath(directory, rootfs.id);
  container.add(rootfs);
  try {
    await checkpoint(parts, container);
    signal.throwIfAborted();
    const made = await backend.provision({ layers: rootfs.layers.map((layer) => layer.path), rootfs: path, backendDir: directory }, signal);
    signal.throwIfAborted();
    markReady(container, rootfs);
    return {
      container: container.id,
      rootfsId: rootfs.id,
      rootfs: path,
      backend: backend.name,
      ephemeralVolumes: made.ephemeralVolumes,
      image: { name: image.name, manifestDigest: image.manifestDigest, configDigest: image.configDigest, config: image.config },
      layers: image.layers,
    };
  } catch (error) {
    await undo(parts, container, rootfs, backend);
    throw error;
  }
}

/**
 * Brings the checkpoint in line with `container.rootfses`: the union over all of them. One write at a time for a container; each takes
 * the list as it is when its turn comes. With nothing left the container's directory goes.
 */
export function checkpoint(parts: ProvisionerParts, container: Container): Promise<void> {
  return container.checkpoints.add(async () => {
    const { id, rootfses, directory } = container;
    const known = rootfses.filter(({ layersKnown }) => layersKnown);
    if (known.length === 0) {
      removeFile(checkpointPath(directory));
      container.checkpointed = false;
      if (rootfses.length > 0) return;
      if (container.occupied) removeBackendDirectories(container);
      else removeEmptyContainer(container);
    } else if (container.checkpointed) await rewriteCheckpoint(directory, { container: id, rootfses: known });
    else {
      container.checkpointed = true; // whatever happens now, something may be on disk
      for (let one: Container | undefined = container; one !== undefined; one = one.parent) one.onDisk = true;
      await writeFirstCheckpoint(parts.root, directory, { container: id, rootfses: known }, parts.syncs);
    }
  });
}

async function undo(parts: ProvisionerParts, container: Container, rootfs: Rootfs, backend: Backend): Promise<void> {
  try {
    const directory = backendDir(container.directory, backend.name);
    await backend.destroy({ rootfs: rootfsPath(directory, rootfs.id), backendDir: directory });
    container.rootfses = container.rootfses.filter((other) => other !== rootfs);
    await checkpoint(parts, container);
  } catch (error) {
    parts.metrics.increment('remove_container_errors_total', {});
    swallow(parts, 'undo of a failed provision', error, { container: container.id, rootfs: rootfs.id });
  }
}

/** Not flushed: after a power cut its absence only means that recovery takes the rootfs, whose mount is gone, for interrupted. */
function markReady(container: Container, rootfs: Rootfs): void {
  closeSync(openSync(readyPath(container.directory, rootfs.id), constants.O_WRONLY | constants.O_CREAT, 0o644));
  rootfs.whole = true;
  for (let parent = container.parent; parent !== undefined && !parent.standing; parent = parent.parent) parent.standing = true;
}
