import { filesystemTypeOf, typeNamed } from '../filesystem-type.ts';
import type { FilesystemType, Kernel, KernelFeatures, MountRequest, Propagation } from '../kernel.ts';
import type { MountTable } from '../mountinfo.ts';
import { parseOptions } from '../mount-options.ts';
import { isSystemError, systemError } from '../system-error.ts';
import { SimulatedFileCalls } from './file-calls.ts';
import { EmptyFilesystem, HostFilesystem, type NodeType, type SimulatedFilesystem } from './filesystems.ts';
import { MountTree, type SimulatedMount } from './mount-tree.ts';
import { walk, type Found } from './path-walk.ts';
import { makeUnion } from './union-mount.ts';

/** One call to the simulated kernel, as its log keeps it and as failures are chosen by. */
export interface SimulatedCall {
  readonly name:
    | 'mount'
    | 'bind'
    | 'setPropagation'
    | 'unmount'
    | 'mountTable'
    | 'isMountPoint'
    | 'filesystemType'
    | 'filesystems'
    | 'syncFilesystem';
  /** The target, or the path asked about. */
  readonly path: string;
  /** The file system type, the bind's source, the propagation, or 'detach'. */
  readonly detail?: string;
}

export interface SimulatedKernelOptions {
  /** What /proc/filesystems has. */
  readonly filesystems?: Iterable<string>;
  /** Default true; false is a kernel before 6.8. */
  readonly overlayLowerdirAppend?: boolean;
  /** Default true. */
  readonly quickMountPoint?: boolean;
  /** Of the root mount; default 'private'. systemd makes it shared. */
  readonly rootPropagation?: 'private' | 'shared';
  /** Whether devices and trusted attributes are really made; default: whether this process is root. */
  readonly privileged?: boolean;
  /** What options over 4095 bytes give: our adapters' E2BIG (default), or the ENOENT of a kernel that cut them short. */
  readonly tooLong?: 'E2BIG' | 'ENOENT';
  /** The longest option value that is taken; default: no limit, as our adapters find a way round fsconfig(2)'s 255 bytes. */
  readonly optionValueBytes?: number;
  /** Awaited at the start of every call: lets a test order the calls of concurrent work. */
  readonly beforeCall?: (call: SimulatedCall) => Promise<void> | void;
}

/**
 * A kernel whose mount table is in memory, over the real directory tree: directories, files and layers are real, mounts are not. Mounts
 * stack, propagate, are busy and fail as in Linux, as far as rootwright relies on it; `read` and `readdir` show the tree through them. It
 * needs no root and changes nothing outside the paths it is given.
 *
 * @example
 * const kernel = new SimulatedKernel();
 * kernel.failNext('unmount', 'EBUSY');
 * await kernel.mount({ type: 'overlay', source: 'overlay', target, options: [['lowerdir+', layer], ['upperdir', upper], ['workdir', work]] });
 * kernel.read(`${target}/etc/hostname`);
 */
export class SimulatedKernel implements Kernel {
  readonly name = 'simulated';
  readonly features: KernelFeatures;
  readonly files: SimulatedFileCalls;
  /** Every call so far, failed ones too. */
  readonly calls: SimulatedCall[] = [];
  private readonly types: ReadonlySet<string>;
  private readonly options: SimulatedKernelOptions;
  private readonly tree: MountTree;
  private readonly busy: string[] = [];
  private readonly failures = new Set<(call: SimulatedCall) => number | string | undefined>();
  private nextDevice = 50;

  constructor(options: SimulatedKernelOptions = {}) {
    this.options = options;
    this.features = { overlayLowerdirAppend: options.overlayLowerdirAppend ?? true, quickMountPoint: options.quickMountPoint ?? true };
    this.files = new SimulatedFileCalls({ privileged: options.privileged ?? process.getuid?.() === 0 });
    this.types = new Set(options.filesystems ?? ['sysfs', 'proc', 'tmpfs', 'overlay', 'ext4', 'xfs']);
    this.tree = new MountTree(new HostFilesystem(this.files), options.rootPropagation === 'shared');
  }

  async mount(request: MountRequest): Promise<void> {
    await this.enter({ name: 'mount', path: request.target, detail: request.type });
    if (!this.types.has(request.type)) throw systemError('ENODEV', 'fsopen', request.type);
    const filesystem = this.makeFilesystem(request);
    const target = this.targetOf(request.target, 'directory');
    this.tree.attach(target, { filesystem, root: '/', readOnly: (parseOptions(request).attributes & 1) !== 0 });
  }

  async bind(source: string, target: string, options: { readonly readOnly?: boolean } = {}): Promise<void> {
    await this.enter({ name: 'bind', path: target, detail: source });
    const from = this.find(source, 'open_tree');
    if (from.mount.unbindable) throw systemError('EINVAL', 'open_tree', source);
    const { filesystem, shared, master, readOnly } = from.mount;
    const to = this.targetOf(target, from.type === 'directory' ? 'directory' : 'other');
    this.tree.attach(to, { filesystem, root: from.path, shared, master, readOnly: readOnly || options.readOnly === true });
  }

  async setPropagation(target: string, propagation: Propagation): Promise<void> {
    await this.enter({ name: 'setPropagation', path: target, detail: propagation });
    this.tree.setPropagation(this.mountAt(target, 'mount_setattr'), propagation);
  }

  async unmount(target: string, options: { readonly detach?: boolean } = {}): Promise<void> {
    const detach = options.detach === true;
    await this.enter({ name: 'unmount', path: target, ...(detach ? { detail: 'detach' } : {}) });
    const mount = this.mountAt(target, 'umount2');
    if (mount === this.tree.root) throw systemError('EINVAL', 'umount2', target);
    if (!detach && (this.tree.hasChildren(mount) || this.busy.includes(mount.target))) throw systemError('EBUSY', 'umount2', target);
    this.tree.detach(mount);
  }

  async mountTable(): Promise<MountTable> {
    await this.enter({ name: 'mountTable', path: '/' });
    return this.tree.table();
  }

  async isMountPoint(path: string): Promise<boolean> {
    await this.enter({ name: 'isMountPoint', path });
    try {
      return walk(this.tree, path, 'statx', { followLast: false }).isMountRoot;
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return false;
      throw error;
    }
  }

  async filesystemType(path: string): Promise<FilesystemType> {
    await this.enter({ name: 'filesystemType', path });
    const { mount } = this.find(path, 'statfs');
    return mount.filesystem instanceof HostFilesystem ? filesystemTypeOf(path) : typeNamed(mount.filesystem.type);
  }

  async filesystems(): Promise<ReadonlySet<string>> {
    await this.enter({ name: 'filesystems', path: '/' });
    return this.types;
  }

  async syncFilesystem(path: string): Promise<void> {
    await this.enter({ name: 'syncFilesystem', path });
    this.find(path, 'open');
  }

  /** The next call of this name fails with `errno`; said twice, the two next. */
  failNext(name: SimulatedCall['name'], errno: number | string): void {
    const remove = this.failWhen((call) => {
      if (call.name !== name) return undefined;
      remove();
      return errno;
    });
  }

  /** Calls for which `choose` gives an errno fail with it. Gives the function that ends this. */
  failWhen(choose: (call: SimulatedCall) => number | string | undefined): () => void {
    const own = (call: SimulatedCall): number | string | undefined => choose(call);
    this.failures.add(own);
    return () => void this.failures.delete(own);
  }

  /** Someone works in the mounts at `path`: only a detaching unmount takes them away. Gives the function that ends this. */
  setBusy(path: string): () => void {
    this.busy.push(path);
    return () => void this.busy.splice(this.busy.indexOf(path), 1);
  }

  /** All mounts but the root are gone; directories and files stay. */
  reboot(): void {
    this.tree.clear();
  }

  /** Mount points whose directory or file was deleted although something is mounted there: a real kernel refuses that, so whoever did it deleted through a mount or meant to. */
  deletedMountPoints(): string[] {
    return this.tree
      .subtree(this.tree.root)
      .filter(({ parent, mountpoint }) => parent !== undefined && parent.filesystem.typeOf(mountpoint) === undefined)
      .map(({ target }) => target);
  }

  /** The mount table as `mountTable` gives it, without a call that could fail or be logged. */
  table(): MountTable {
    return this.tree.table();
  }

  /** What `path` is, as seen through the mounts; undefined where nothing is. */
  typeOf(path: string): NodeType | undefined {
    try {
      return walk(this.tree, path, 'lstat', { followLast: false }).type;
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  /** A file's content, as seen through the mounts. */
  read(path: string): Buffer {
    const found = this.find(path, 'open');
    if (found.type === 'directory') throw systemError('EISDIR', 'read', path);
    return found.mount.filesystem.read(found.path);
  }

  /** Names in a directory in byte order, as seen through the mounts. */
  readdir(path: string): string[] {
    const found = this.find(path, 'scandir');
    if (found.type !== 'directory') throw systemError('ENOTDIR', 'scandir', path);
    return found.mount.filesystem.list(found.path).toSorted();
  }

  /** Creates or replaces a file through the mounts: into the upper directory of an overlay. EROFS through a read-only mount. */
  write(path: string, data: string | Buffer): void {
    const slash = path.lastIndexOf('/');
    const directory = this.find(path.slice(0, slash) || '/', 'open');
    const place = this.tree.enter({ mount: directory.mount, path: `${directory.path === '/' ? '' : directory.path}/${path.slice(slash + 1)}` });
    if (place.mount.readOnly) throw systemError('EROFS', 'open', path);
    place.mount.filesystem.write(place.path, Buffer.from(data));
  }

  private async enter(call: SimulatedCall): Promise<void> {
    this.calls.push(call);
    await this.options.beforeCall?.(call);
    for (const choose of this.failures) {
      const errno = choose(call);
      if (errno !== undefined) throw systemError(errno, call.name, call.path, 'a failure on demand');
    }
  }

  private find(path: string, syscall: string): Found {
    return walk(this.tree, path, syscall, { followLast: true });
  }

  private makeFilesystem(request: MountRequest): SimulatedFilesystem {
    const device = `0:${this.nextDevice++}`;
    if (request.type !== 'overlay' && request.type !== 'aufs') return new EmptyFilesystem(request.type, request.source, device, ['rw']);
    return makeUnion(request, {
      find: (path) => this.find(path, 'mount'),
      device,
      lowerdirAppend: this.features.overlayLowerdirAppend,
      tooLong: this.options.tooLong ?? 'E2BIG',
      valueBytes: this.options.optionValueBytes,
    });
  }

  /** Where a mount can go: directories on directories, anything else on anything else. */
  private targetOf(path: string, kind: 'directory' | 'other'): Found {
    const found = walk(this.tree, path, 'move_mount', { followLast: false });
    if (found.type === 'symlink' || (found.type === 'directory') !== (kind === 'directory')) throw systemError('EINVAL', 'move_mount', path);
    return found;
  }

  private mountAt(path: string, syscall: string): SimulatedMount {
    const found = walk(this.tree, path, syscall, { followLast: false });
    if (!found.isMountRoot) throw systemError('EINVAL', syscall, path);
    return found.mount;
  }
}
