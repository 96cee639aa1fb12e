import { posix } from 'node:path';
import type { Propagation } from '../kernel.ts';
import { isWithin, MountTable, type Mount } from '../mountinfo.ts';
import type { SimulatedFilesystem } from './filesystems.ts';

/** One mount of the simulated kernel. */
export interface SimulatedMount {
  readonly id: number;
  /** undefined for the root of the namespace. */
  readonly parent: SimulatedMount | undefined;
  /** Path inside the parent's file system. */
  readonly mountpoint: string;
  readonly target: string;
  readonly filesystem: SimulatedFilesystem;
  /** Path inside `filesystem` that shows at `target`. */
  readonly root: string;
  readOnly: boolean;
  shared: number | undefined;
  master: number | undefined;
  unbindable: boolean;
}

/** A place in the tree: a path inside the file system of one mount. */
export interface Location {
  readonly mount: SimulatedMount;
  readonly path: string;
}

/** What is to be mounted; a bind mount inherits the groups of what it copies. */
export interface NewMount {
  readonly filesystem: SimulatedFilesystem;
  readonly root: string;
  readonly readOnly: boolean;
  readonly shared?: number | undefined;
  readonly master?: number | undefined;
}

/**
 * The mounts of one namespace and how mount events travel between them (mount_namespaces(7), sharedsubtree.rst of the kernel): peers of a
 * group get a copy of each mount made in one of them, slaves get it from their master.
 */
export class MountTree {
  readonly root: SimulatedMount;
  private readonly mounts = new Set<SimulatedMount>();
  private readonly children = new Map<SimulatedMount, SimulatedMount[]>();
  private nextId = 100;
  private nextGroup = 1;

  constructor(filesystem: SimulatedFilesystem, shared: boolean) {
    this.root = this.add(undefined, '/', '/', { filesystem, root: '/', readOnly: false });
    if (shared) this.root.shared = this.newGroup();
  }

  /** From a place into the topmost of the mounts that lie on it. */
  enter(location: Location): Location {
    let current = location;
    for (;;) {
      const child = this.childAt(current.mount, current.path);
      if (child === undefined) return current;
      current = { mount: child, path: child.root };
    }
  }

  /** Mounts at `location`, and in every mount that hears of it. */
  attach(location: Location, mount: NewMount): SimulatedMount {
    const { mount: parent, path } = location;
    const target = posix.join(parent.target, posix.relative(parent.root, path));
    const made = this.add(parent, path, target, mount);
    if (parent.shared === undefined) return made;
    made.shared ??= this.newGroup();
    for (const { receiver, shared, master } of this.receivers(parent, made.shared)) {
      if (!isWithin(receiver.root, path)) continue;
      const at = this.enter({ mount: receiver, path });
      this.add(at.mount, at.path, posix.join(receiver.target, posix.relative(receiver.root, path)), { ...mount, shared, master });
    }
    return made;
  }

  /** Whether other mounts lie on `mount`. */
  hasChildren(mount: SimulatedMount): boolean {
    return (this.children.get(mount) ?? []).length > 0;
  }

  /** `mount` and all below it, parents first. */
  subtree(mount: SimulatedMount): SimulatedMount[] {
    const found = [mount];
    for (const parent of found) found.push(...(this.children.get(parent) ?? []));
    return found;
  }

  /** Takes away `mount` with all below it, and the copies that other mounts got of each. */
  detach(mount: SimulatedMount): void {
    for (const gone of this.subtree(mount).toReversed()) {
      const { parent } = gone;
      const copies = parent?.shared === undefined ? [] : this.receivers(parent, 0).map(({ receiver }) => this.childAt(receiver, gone.mountpoint));
      for (const copy of copies) if (copy !== undefined && copy.filesystem === gone.filesystem && !this.hasChildren(copy)) this.remove(copy);
      this.remove(gone);
    }
  }

  setPropagation(mount: SimulatedMount, propagation: Propagation): void {
    if (propagation === 'shared') {
      mount.shared ??= this.newGroup();
      mount.unbindable = false;
      return;
    }
    const group = mount.shared;
    const peersLeft = group !== undefined && this.leaveGroup(mount);
    if (peersLeft) mount.master = group;
    if (propagation === 'slave') return;
    mount.master = undefined;
    mount.unbindable = propagation === 'unbindable';
  }

  /** All mounts but the root go, as after a reboot. */
  clear(): void {
    for (const mount of this.mounts) if (mount !== this.root) this.remove(mount);
  }

  table(): MountTable {
    return new MountTable([...this.mounts].map(toMount));
  }

  private add(parent: SimulatedMount | undefined, mountpoint: string, target: string, mount: NewMount): SimulatedMount {
    const { filesystem, root, readOnly, shared, master } = mount;
    const made = { id: this.nextId++, parent, mountpoint, target, filesystem, root, readOnly, shared, master, unbindable: false };
    this.mounts.add(made);
    if (parent !== undefined) this.children.set(parent, [...(this.children.get(parent) ?? []), made]);
    return made;
  }

  private remove(mount: SimulatedMount): void {
    if (!this.mounts.delete(mount)) return;
    this.children.delete(mount);
    if (mount.shared !== undefined) this.leaveGroup(mount);
    const siblings = mount.parent === undefined ? undefined : this.children.get(mount.parent);
    if (mount.parent !== undefined && siblings !== undefined)
      this.children.set(
        mount.parent,
        siblings.filter((sibling) => sibling !== mount),
      );
  }

  private childAt(parent: SimulatedMount, path: string): SimulatedMount | undefined {
    return (this.children.get(parent) ?? []).find(({ mountpoint }) => mountpoint === path);
  }

  /** Mounts that hear of a mount made in `parent`, with the groups that their copy of it gets. */
  private receivers(parent: SimulatedMount, group: number): Array<{ receiver: SimulatedMount; shared?: number; master?: number }> {
    const found: Array<{ receiver: SimulatedMount; shared?: number; master?: number }> = [];
    const visited = new Set<number>();
    const visit = (from: number, copies: { shared: number; master?: number }): void => {
      if (visited.has(from)) return;
      visited.add(from);
      for (const receiver of this.mounts) if (receiver !== parent && receiver.shared === from) found.push({ receiver, ...copies });
      for (const receiver of this.mounts) {
        if (receiver.master !== from || receiver === parent) continue;
        if (receiver.shared === undefined) found.push({ receiver, master: copies.shared });
        else visit(receiver.shared, { shared: this.newGroup(), master: copies.shared });
      }
    };
    if (parent.shared !== undefined) visit(parent.shared, { shared: group });
    return found;
  }

  /** True where other peers stay. Where none does, the slaves of the group go to its master. */
  private leaveGroup(mount: SimulatedMount): boolean {
    const group = mount.shared;
    mount.shared = undefined;
    for (const other of this.mounts) if (other !== mount && other.shared === group) return true;
    for (const other of this.mounts) if (other.master === group) other.master = mount.master;
    return false;
  }

  private newGroup(): number {
    return this.nextGroup++;
  }
}

function toMount(mount: SimulatedMount): Mount {
  const { filesystem } = mount;
  return {
    id: mount.id,
    parentId: mount.parent?.id ?? 1,
    device: filesystem.device,
    root: mount.root,
    target: mount.target,
    options: [mount.readOnly ? 'ro' : 'rw', 'relatime'],
    ...(mount.shared === undefined ? {} : { shared: mount.shared }),
    ...(mount.master === undefined ? {} : { master: mount.master }),
    unbindable: mount.unbindable,
    type: filesystem.type,
    source: filesystem.source,
    superOptions: filesystem.superOptions,
  };
}
