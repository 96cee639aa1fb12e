import { closeSync, constants, openSync } from 'node:fs';
import { canonicalPath } from './canonical-path.ts';
import { filesystemTypeOf } from './filesystem-type.ts';
import type { FileCalls, FilesystemType, Kernel, KernelFeatures, MountRequest, Propagation } from './kernel.ts';
import { koffiFileCalls } from './koffi-file-calls.ts';
import { mountFilesystem, probeMountApi, refuseSymlink, type MountApi } from './koffi-mount.ts';
import { check, toC, type Libc } from './libc.ts';
import type { MountTable } from './mountinfo.ts';
import { parseOptions } from './mount-options.ts';
import { bytesOf } from './path-bytes.ts';
import { readFilesystems, readMountTable } from './proc-files.ts';

/**
 * The kernel by system calls, no process started. Calls that only look something up or attach what is ready run in line; those that can wait
 * for a disk (creating a file system, copying a mount, unmounting, flushing) run on libuv's pool, which costs 20 µs and more each.
 */
export class KoffiKernel implements Kernel {
  readonly name = 'koffi';
  readonly features: KernelFeatures;
  readonly files: FileCalls;
  private readonly libc: Libc;
  private readonly api: MountApi;
  /** Reused: a statx call and the reading of its answer are one synchronous step. */
  private readonly status = new BigUint64Array(32);
  private readonly statusBytes = Buffer.from(this.status.buffer);

  /** `mountApi: 'mount(2)'` does without the calls that came with Linux 5.2 and later, as on an older kernel. */
  constructor(libc: Libc, options: { readonly mountApi?: 'mount(2)' } = {}) {
    this.libc = libc;
    this.api = options.mountApi === undefined ? probeMountApi(libc) : { contexts: false, lowerdirAppend: false, pathByFd: false };
    this.features = { overlayLowerdirAppend: this.api.lowerdirAppend, quickMountPoint: this.mountRootBit('/') !== undefined };
    this.files = koffiFileCalls(libc);
  }

  async mount(request: MountRequest): Promise<void> {
    await mountFilesystem(this.libc, this.api, request);
  }

  async bind(source: string, target: string, options: { readonly readOnly?: boolean } = {}): Promise<void> {
    const done = this.api.contexts && (await this.bindByTree(source, target, options.readOnly === true));
    if (!done) await this.bindByMount(source, target, options.readOnly === true);
  }

  async setPropagation(target: string, propagation: Propagation): Promise<void> {
    const path = toC(target);
    const attributes = Buffer.from(new BigUint64Array([0n, 0n, BigInt(PROPAGATION[propagation]), 0n]).buffer);
    const result = this.api.contexts ? this.libc.mountSetattr(AT_FDCWD, path, NO_FOLLOW, attributes, attributes.length) : -ENOSYS;
    if (result !== -ENOSYS) check(result, 'mount_setattr', target);
    else {
      refuseSymlink(target);
      check(this.libc.mount(null, path, null, PROPAGATION[propagation], null), 'mount', target);
    }
  }

  async unmount(target: string, options: { readonly detach?: boolean } = {}): Promise<void> {
    const flags = UMOUNT_NOFOLLOW | (options.detach === true ? MNT_DETACH : 0);
    check(await this.libc.umount2.later(toC(target), flags), 'umount2', target);
  }

  mountTable(): Promise<MountTable> {
    return readMountTable();
  }

  async isMountPoint(path: string): Promise<boolean> {
    return this.mountRootBit(path) ?? (await this.mountedInTable(path));
  }

  filesystemType(path: string): Promise<FilesystemType> {
    return filesystemTypeOf(path);
  }

  async filesystems(): Promise<ReadonlySet<string>> {
    return readFilesystems();
  }

  async syncFilesystem(path: string): Promise<void> {
    const fd = openSync(bytesOf(path), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      check(await this.libc.syncfs.later(fd), 'syncfs', path);
    } finally {
      closeSync(fd);
    }
  }

  private async mountedInTable(path: string): Promise<boolean> {
    return (await readMountTable()).at(canonicalPath(path)).length > 0;
  }

  /** What statx(2) says; undefined where it can't (it came with Linux 4.11, the bit with 5.8). */
  private mountRootBit(path: string): boolean | undefined {
    const result = this.libc.statx(AT_FDCWD, toC(path), NO_FOLLOW, 0, this.statusBytes);
    if (result === -ENOENT || result === -ENOTDIR) return false;
    if (result === -ENOSYS) return undefined;
    check(result, 'statx', path);
    const [attributes = 0n, supported = 0n] = [this.status[1], this.status[7]];
    return (supported & STATX_ATTR_MOUNT_ROOT) === 0n ? undefined : (attributes & STATX_ATTR_MOUNT_ROOT) !== 0n;
  }

  /** A detached copy of the mount, made read-only before anyone can see it. False where the kernel lacks a call for that. */
  private async bindByTree(source: string, target: string, readOnly: boolean): Promise<boolean> {
    const tree = await this.libc.openTree.later(AT_FDCWD, toC(source), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree === -ENOSYS) return false;
    check(tree, 'open_tree', source);
    try {
      if (readOnly) {
        const result = this.libc.mountSetattr(tree, '', AT_EMPTY_PATH, READ_ONLY, READ_ONLY.length);
        if (result === -ENOSYS) return false;
        check(result, 'mount_setattr', target);
      }
      check(this.libc.moveMount(tree, '', AT_FDCWD, toC(target), MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target);
      return true;
    } finally {
      closeSync(tree);
    }
  }

  /** Two steps, as mount(2) ignores MS_RDONLY when it binds; the second must repeat the flags that the mount inherited. */
  private async bindByMount(source: string, target: string, readOnly: boolean): Promise<void> {
    const path = toC(target);
    refuseSymlink(target);
    check(await this.libc.mount.later(toC(source), path, null, MS_BIND, null), 'mount', target);
    if (!readOnly) return;
    try {
      const inherited = (await readMountTable()).at(canonicalPath(target)).at(-1)?.options ?? [];
      const { flags } = parseOptions({ type: 'bind', source, target, readOnly: true, options: inherited.map((option) => [option] as const) });
      check(await this.libc.mount.later(null, path, null, MS_REMOUNT | MS_BIND | flags, null), 'mount', target);
    } catch (error) {
      await this.unmount(target, { detach: true });
      throw error;
    }
  }
}

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
/** AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT */
const NO_FOLLOW = 0x100 | 0x800;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const STATX_ATTR_MOUNT_ROOT = 0x2000n;
const ENOENT = 2;
const ENOTDIR = 20;
const ENOSYS = 38;
/** MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: mount(2) and mount_setattr(2) share them. */
const PROPAGATION: Readonly<Record<Propagation, number>> = { unbindable: 1 << 17, private: 1 << 18, slave: 1 << 19, shared: 1 << 20 };
/** struct mount_attr with MOUNT_ATTR_RDONLY to set. */
const READ_ONLY = Buffer.from(new BigUint64Array([1n, 0n, 0n, 0n]).buffer);
