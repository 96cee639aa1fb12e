import { chmodSync, chownSync, lstatSync, readdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Kernel, MountRequest } from '../../linux/kernel.ts';
import { isSystemError } from '../../linux/system-error.ts';
import { overlayLinksDir, rootfsIdOf, scratchDir } from '../../paths/provisioner.ts';
import type { DestroyRequest, ProvisionedRootfs, ProvisionRequest } from '../backend.ts';
import type { BackendOptions } from '../backend-options.ts';
import { ioError, makeDirectory, makeRootfsDirectory, removeEmptyDirectory, removeWithMounts } from '../directories.ts';
import { mountSharedSlave, removeMountPoint } from '../mount-point.ts';
import { surveyLayers, type RootAttributes } from './layer-survey.ts';
import { setTimes } from '../set-times.ts';

/** What sets overlay and aufs apart; all else about a stack of read-only layers with a writable directory on top is in this file. */
export interface LayeredMountKind {
  readonly name: 'overlay' | 'aufs';
  /** The directories made in scratch; what the container writes goes to the first. All of them are ephemeral volumes. */
  writableDirectories(scratch: string): readonly string[];
  /** Whether a layer hides all below it. */
  hasOpaqueRoot(layer: string): boolean;
  /** The mount and the symlinks that it needs, lowest layer first. Fails with LAYERS_UNSUPPORTED. */
  plan(paths: LayeredPaths): LayeredMountPlan;
}

export interface LayeredPaths {
  readonly layers: readonly string[];
  readonly rootfs: string;
  readonly scratch: string;
}

export interface LayeredMountPlan {
  readonly request: MountRequest;
  /** Made in the request's `directory`, which is made with them. */
  readonly links: ReadonlyArray<readonly [name: string, target: string]>;
}

/** Fails with LAYERS_UNSUPPORTED, ROOTFS_EXISTS, MOUNT_FAILED, IO_ERROR, ABORTED. What was made by then is left for {@link destroyLayered}. */
export async function provisionLayered(
  kind: LayeredMountKind,
  options: BackendOptions,
  { layers, rootfs, backendDir }: ProvisionRequest,
  signal?: AbortSignal,
): Promise<ProvisionedRootfs> {
  const what = `provision of ${rootfs}`;
  throwIfAborted(signal, what);
  checkLayerCount(kind.name, layers);
  const scratch = scratchDir(backendDir, rootfsIdOf(rootfs));
  const survey = surveyLayers(layers, (layer) => kind.hasOpaqueRoot(layer));
  const { request, links } = kind.plan({ layers: survey.layers, rootfs, scratch });
  const writable = kind.writableDirectories(scratch);
  makeRootfsDirectory(rootfs);
  try {
    // What a container writes, setuid programs too, is reached through its rootfs only.
    makeDirectory(scratch, 0o700);
    for (const directory of writable) makeDirectory(directory, 0o755);
    giveRootAttributes(options.kernel, writable[0] ?? scratch, survey.root);
    if (request.directory !== undefined) makeLinks(request.directory, links);
  } catch (error) {
    throw ioError(`cannot prepare the mount of ${rootfs}`, scratch, error);
  }
  await mountSharedSlave(options.kernel, rootfs, () => mountOrExplain(options.kernel, request, survey.layers.length), options.onSwallowed);
  throwIfAborted(signal, what);
  return { ephemeralVolumes: writable };
}

/** As `Backend.destroy` tells. In the ordinary case two calls for the mount and a handful of rmdir. */
export async function destroyLayered(kind: LayeredMountKind, { kernel }: BackendOptions, { rootfs, backendDir }: DestroyRequest): Promise<boolean> {
  const hadRootfs = await removeMountPoint(kernel, rootfs);
  const scratch = scratchDir(backendDir, rootfsIdOf(rootfs));
  try {
    const hadScratch = removeUnwritten(scratch, kind.writableDirectories(scratch)) ?? (await removeWithMounts(kernel, scratch));
    return hadRootfs || hadScratch;
  } catch (error) {
    throw ioError(`cannot remove ${scratch}`, scratch, error);
  }
}

/** Refuses a stack that the kernel would refuse with a misleading error, or silently cut short. */
export function checkMountData(name: string, layers: readonly string[], data: string): void {
  const bytes = Buffer.byteLength(data);
  if (bytes <= LIMITS.mountDataBytes) return;
  throw new RootwrightError(
    'LAYERS_UNSUPPORTED',
    `${layers.length} layers need ${bytes} bytes of mount data, ${name} mounts take at most ${LIMITS.mountDataBytes} here; use the copy backend, or an image with fewer layers`,
    { details: { layers: layers.length, bytes, limit: LIMITS.mountDataBytes } },
  );
}

/** Fails with LAYERS_UNSUPPORTED for no layers, and for more than any backend stacks. */
export function checkLayerCount(name: string, layers: readonly string[]): void {
  if (layers.length === 0)
    throw new RootwrightError('LAYERS_UNSUPPORTED', `the ${name} backend needs at least one layer, none was given`, { details: { layers: 0 } });
  if (layers.length <= LIMITS.layersPerRootfs) return;
  throw new RootwrightError(
    'LAYERS_UNSUPPORTED',
    `${layers.length} layers are more than the ${LIMITS.layersPerRootfs} that one rootfs may have; rebuild the image with fewer`,
    { details: { layers: layers.length, limit: LIMITS.layersPerRootfs } },
  );
}

/** The root of the mount shows the attributes of the topmost directory, which is ours: it gets those that the image gives its root. */
function giveRootAttributes(kernel: Kernel, directory: string, root: RootAttributes): void {
  if (root.uid !== 0 || root.gid !== 0) chownSync(directory, root.uid, root.gid);
  chmodSync(directory, root.mode);
  setTimes(kernel.files, directory, root.accessedNs, root.modifiedNs);
}

function makeLinks(directory: string, links: LayeredMountPlan['links']): void {
  makeDirectory(directory, 0o700);
  for (const [name, target] of links) symlinkSync(target, join(directory, name));
}

/** Names that are short in the plan may be longer in the words of an adapter that has no other way to start from a directory. */
async function mountOrExplain(kernel: Kernel, request: MountRequest, layers: number): Promise<void> {
  try {
    await kernel.mount(request);
  } catch (error) {
    if (!isSystemError(error, 'E2BIG')) throw error;
    throw new RootwrightError('LAYERS_UNSUPPORTED', `cannot stack ${layers} layers: ${error.message}; use the copy backend, or an image with fewer`, {
      cause: error,
      details: { layers },
    });
  }
}

/**
 * Removes the scratch directory of a rootfs that was never written to; undefined where there is more in it, and then perhaps only a part
 * of it is gone. rmdir and unlink of names that we gave can cross no mount, so no mount table is needed. False where nothing was there.
 */
function removeUnwritten(scratch: string, writable: readonly string[]): boolean | undefined {
  if (!isRealDirectory(scratch)) return undefined;
  try {
    for (const directory of writable) {
      // overlayfs makes `work` in its workdir. A symlink in place of ours would lead rmdir elsewhere.
      if (basename(directory) === 'workdir' && isRealDirectory(directory)) removeEmptyDirectory(join(directory, 'work'));
      removeEmptyDirectory(directory);
    }
    removeLinks(overlayLinksDir(scratch));
    return removeEmptyDirectory(scratch);
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

function removeLinks(links: string): void {
  if (!isRealDirectory(links)) return;
  for (const name of readdirSync(links)) unlinkSync(join(links, name));
  removeEmptyDirectory(links);
}

function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
