import { canonicalPath } from './canonical-path.ts';
import { filesystemTypeOf } from './filesystem-type.ts';
import type { FileCalls, FilesystemType, Kernel, KernelFeatures, MountRequest, Propagation } from './kernel.ts';
import type { MountTable } from './mountinfo.ts';
import { readFilesystems, readMountTable } from './proc-files.ts';
import { programFileCalls } from './program-file-calls.ts';
import { isSystemError, systemError } from './system-error.ts';
import { checkTarget, MOUNT, mountByProgram, program, UNMOUNT } from './util-linux-mount.ts';

/**
 * The kernel through mount(8), umount(8) and sync(1), 6 ms and more a call: for machines where koffi does not load. What can be read is read
 * from /proc. Needs util-linux 2.23 or later. A target must be UTF-8: EILSEQ.
 */
export class UtilLinuxKernel implements Kernel {
  readonly name = 'util-linux';
  readonly features: KernelFeatures = { overlayLowerdirAppend: false, quickMountPoint: false };
  readonly files: FileCalls = programFileCalls();

  async mount(request: MountRequest): Promise<void> {
    await mountByProgram(request);
  }

  /** Read-only in two steps, as mount(2) has it; the mount goes again when the second fails. The second repeats the options that the mount inherited. */
  async bind(source: string, target: string, options: { readonly readOnly?: boolean } = {}): Promise<void> {
    checkTarget(target, 'mount');
    await program('mount', target, [...MOUNT, '--bind', '--', source, target]);
    if (options.readOnly !== true) return;
    try {
      const inherited = (await readMountTable()).at(canonicalPath(target)).at(-1)?.options ?? [];
      const kept = inherited.filter((option) => option !== 'rw' && option !== 'ro');
      await program('mount', target, [...MOUNT, '-o', ['remount', 'bind', 'ro', ...kept].join(','), '--', 'none', target]);
    } catch (error) {
      await this.unmount(target, { detach: true });
      throw error;
    }
  }

  async setPropagation(target: string, propagation: Propagation): Promise<void> {
    checkTarget(target, 'mount');
    await program('mount', target, [...MOUNT, `--make-${propagation}`, '--', target]);
  }

  async unmount(target: string, options: { readonly detach?: boolean } = {}): Promise<void> {
    checkTarget(target, 'umount2');
    if (!(await this.isMountPoint(target))) throw systemError('EINVAL', 'umount2', target);
    await program('umount2', target, [...UNMOUNT, ...(options.detach === true ? ['-l'] : []), '--', target], 'umount');
  }

  mountTable(): Promise<MountTable> {
    return readMountTable();
  }

  async isMountPoint(path: string): Promise<boolean> {
    try {
      return (await readMountTable()).at(canonicalPath(path)).length > 0;
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false;
      throw error;
    }
  }

  filesystemType(path: string): Promise<FilesystemType> {
    return filesystemTypeOf(path);
  }

  async filesystems(): Promise<ReadonlySet<string>> {
    return readFilesystems();
  }

  async syncFilesystem(path: string): Promise<void> {
    await program('syncfs', path, ['-f', '--', path], 'sync');
  }
}
