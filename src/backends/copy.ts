import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { RootwrightError, throwIfAborted } from '../errors.ts';
import { findXattrs } from '../linux/find-xattrs.ts';
import { isSystemError } from '../linux/system-error.ts';
import { copyPartialDir, rootfsIdOf, scratchDir } from '../paths/provisioner.ts';
import type { Backend, DestroyRequest, ProvisionedRootfs, ProvisionRequest } from './backend.ts';
import type { BackendOptions } from './backend-options.ts';
import type { NewEntryDefaults } from './copy/entry.ts';
import { CopyPool } from './copy/pool.ts';
import { copyTree, finishDirectories, type CopyTreeRequest } from './copy/tree.ts';
import { ioError, makeDirectory, reasonOf, removeEmptyDirectory, removeWithMounts, rootfsExists } from './directories.ts';
import { isPlainRootOpaque, surveyLayers } from './layered/layer-survey.ts';
import { checkLayerCount } from './layered/layered-mount.ts';
import { detachStack } from './mount-point.ts';
import { pathString } from './path-string.ts';

/**
 * A full copy of what the layers show, for machines and users without mounts. Modelled on Mesos' CopyBackend, which copies each layer whole
 * over the last and deletes what is hidden; here the layers are merged as names first, and only what shows is made, in a fresh tree that one
 * rename makes the rootfs. So a rootfs is complete or absent, and no symlink of a lower layer can lead a write astray (MESOS-7280).
 *
 * Kept: ids, modes with setuid, times to the nanosecond, extended attributes, hard links within a layer, holes, devices, FIFOs, sockets. Where
 * the file system can, files share their blocks with the layer. An ordinary user gets all but ids and the attributes that only root may set;
 * a device node in the image is then COPY_FAILED, since an image with its devices missing is another image.
 *
 * Nothing is synced. A rootfs counts only with the engine's `.ready` file, and all containers end with the machine: after a power loss
 * recovery destroys what the crash left, whatever blocks of it reached the disk.
 */
export class CopyBackend implements Backend {
  readonly name = 'copy';
  readonly form = 'plain';
  private readonly options: BackendOptions;
  private readonly pool: CopyPool;

  /** `threads` copy at once, over all provisions of this backend. */
  constructor(options: BackendOptions & { readonly threads?: number }) {
    this.options = options;
    this.pool = new CopyPool({
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(options.kernel.name === 'util-linux' && { adapter: options.kernel.name }),
    });
  }

  async provision({ layers, rootfs, backendDir }: ProvisionRequest, signal?: AbortSignal): Promise<ProvisionedRootfs> {
    const what = `provision of ${rootfs}`;
    throwIfAborted(signal, what);
    checkLayerCount('copy', layers);
    if (lstatSync(rootfs, { throwIfNoEntry: false }) !== undefined) throw rootfsExists(rootfs);
    const scratch = scratchDir(backendDir, rootfsIdOf(rootfs));
    const prepared = this.prepare(layers, scratch);
    const attributed = await this.findAttributed(prepared.layers, signal);
    const request = { ...prepared, ...(attributed !== undefined && { attributed }) };
    const { onSwallowed } = this.options;
    const unfinished = await copyTree(this.pool, request, signal, onSwallowed);
    throwIfAborted(signal, what);
    publish(request.target, rootfs);
    const target = pathString(rootfs);
    await finishDirectories(
      this.pool,
      request,
      unfinished.map(({ attributes }) => ({ attributes, target })),
      onSwallowed,
    );
    this.removeEmptied(scratch);
    return { ephemeralVolumes: [] };
  }

  async destroy({ rootfs, backendDir }: DestroyRequest): Promise<boolean> {
    const { kernel } = this.options;
    const scratch = scratchDir(backendDir, rootfsIdOf(rootfs));
    // A container may have mounted things in it, or itself on it.
    const mounts = await detachStack(kernel, rootfs);
    try {
      const hadRootfs = await removeWithMounts(kernel, rootfs);
      const hadScratch = await removeWithMounts(kernel, scratch);
      return mounts > 0 || hadRootfs || hadScratch;
    } catch (error) {
      throw ioError(`cannot remove the copied rootfs ${rootfs}`, rootfs, error);
    }
  }

  /** Without system calls every question about a file starts a program, so one program is asked about all of them. */
  private async findAttributed(layers: readonly string[], signal?: AbortSignal): Promise<ReadonlySet<string> | undefined> {
    if (this.options.kernel.name !== 'util-linux') return undefined;
    try {
      return await findXattrs(layers, signal);
    } catch (error) {
      throwIfAborted(signal, 'reading the attributes of the layers');
      throw new RootwrightError('COPY_FAILED', `cannot read the extended attributes of the layers: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** destroy would find it too; it is only that nothing is left in it. */
  private removeEmptied(scratch: string): void {
    try {
      removeEmptyDirectory(scratch);
    } catch (error) {
      this.options.onSwallowed?.(`remove ${scratch}`, error);
    }
  }

  private prepare(layers: readonly string[], scratch: string): CopyTreeRequest {
    const target = copyPartialDir(scratch);
    const survey = surveyLayers(layers, isPlainRootOpaque);
    try {
      makeDirectory(scratch, 0o700);
      mkdirSync(target, 0o777);
      const defaults = measureDefaults(target);
      return { layers: survey.layers, rootLayer: survey.root.layer, target, defaults };
    } catch (error) {
      throw ioError(`cannot prepare the copy in ${scratch}`, scratch, error);
    }
  }
}

/** What a directory that asks for mode 0777 gets tells what everything below it will get. It is ours alone afterwards. */
function measureDefaults(directory: string): NewEntryDefaults {
  const { dev, mode, uid, gid } = lstatSync(directory, { bigint: true });
  const [ownUid, ownGid] = [process.geteuid?.() ?? Number(uid), process.getegid?.() ?? Number(gid)];
  const privileged = ownUid === 0;
  // Under a directory with setgid, or a mount with `grpid`, entries get the group of their directory: both then say the same.
  if (privileged && Number(gid) !== ownGid) chownSync(directory, ownUid, ownGid);
  chmodSync(directory, 0o700);
  return { device: dev, uid: Number(uid), gid: privileged ? ownGid : Number(gid), umask: 0o777 & ~Number(mode), privileged };
}

/** The instant at which the rootfs is there. */
function publish(partial: string, rootfs: string): void {
  try {
    renameWithParent(partial, rootfs);
  } catch (error) {
    if (isSystemError(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw rootfsExists(rootfs, error);
    throw ioError(`cannot move the finished tree to ${rootfs}`, rootfs, error);
  }
}

function renameWithParent(partial: string, rootfs: string): void {
  try {
    renameSync(partial, rootfs);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    mkdirSync(dirname(rootfs), { recursive: true, mode: 0o755 });
    renameSync(partial, rootfs);
  }
}
