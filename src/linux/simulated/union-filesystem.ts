import { mkdirSync } from 'node:fs';
import { posix } from 'node:path';
import { systemError } from '../system-error.ts';
import type { NodeType, SimulatedFilesystem } from './filesystems.ts';

/** A directory of some file system, as it was found when the union was mounted. */
export interface Branch {
  readonly filesystem: SimulatedFilesystem;
  /** Absolute inside `filesystem`. */
  readonly path: string;
}

/** How whiteouts are written: overlayfs' device 0/0 and opaque attribute, or aufs' `.wh.` names. */
export type WhiteoutStyle = 'overlay' | 'aufs';

/** The merged view of some branches, the topmost first. With `writable` the topmost takes writes. */
export class UnionFilesystem implements SimulatedFilesystem {
  readonly type: string;
  readonly source: string;
  readonly device: string;
  readonly superOptions: readonly string[];
  private readonly branches: readonly Branch[];
  private readonly writable: boolean;
  private readonly style: WhiteoutStyle;

  constructor(options: {
    readonly style: WhiteoutStyle;
    readonly source: string;
    readonly device: string;
    readonly superOptions: readonly string[];
    readonly branches: readonly Branch[];
    readonly writable: boolean;
  }) {
    this.type = options.style;
    this.style = options.style;
    this.source = options.source;
    this.device = options.device;
    this.superOptions = options.superOptions;
    this.branches = options.branches;
    this.writable = options.writable;
  }

  typeOf(path: string): NodeType | undefined {
    const [top] = this.find(path);
    return top?.filesystem.typeOf(top.path);
  }

  list(path: string): string[] {
    const names = new Set<string>();
    for (const { filesystem, path: directory } of this.directories(path))
      for (const name of filesystem.list(directory)) if (!this.isMarker(name) && !names.has(name)) names.add(name);
    return [...names].filter((name) => this.find(posix.join(path, name)).length > 0);
  }

  read(path: string): Buffer {
    const top = this.topOf(path, 'open');
    return top.filesystem.read(top.path);
  }

  readlink(path: string): string {
    const top = this.topOf(path, 'readlink');
    return top.filesystem.readlink(top.path);
  }

  /** Into the topmost branch, with the directories on the way, as a copy-up makes them. */
  write(path: string, data: Buffer): void {
    const [upper] = this.branches;
    if (!this.writable || upper === undefined) throw systemError('EROFS', 'open', path);
    if (this.find(posix.dirname(path)).length === 0) throw systemError('ENOENT', 'open', path);
    const target = posix.join(upper.path, path);
    if (upper.filesystem.type === 'ext4') mkdirSync(posix.dirname(target), { recursive: true });
    upper.filesystem.write(target, data);
  }

  isOpaque(): boolean {
    return false;
  }

  private directories(path: string): Branch[] {
    const found = this.find(path);
    if (found.length === 0) throw systemError('ENOENT', 'scandir', path);
    return found;
  }

  private topOf(path: string, syscall: string): Branch {
    const [top] = this.find(path);
    if (top === undefined) throw systemError('ENOENT', syscall, path);
    return top;
  }

  /** Where `path` really is: one place for anything but a directory, for a directory all that merge into it, topmost first; none where it is absent or hidden. */
  private find(path: string): Branch[] {
    let stack: Branch[] = [...this.branches];
    for (const name of path.split('/').filter((part) => part !== '')) {
      stack = this.step(stack, name);
      if (stack.length === 0) return [];
    }
    return stack;
  }

  /** From the directories of one name to those of a name in it. overlayfs does not look at the opaque mark of a layer's own root, and neither do we. */
  private step(stack: readonly Branch[], name: string): Branch[] {
    const next: Branch[] = [];
    for (const { filesystem, path } of stack) {
      const child = posix.join(path, name);
      const type = filesystem.typeOf(child);
      if (type === 'whiteout' && this.style === 'overlay') break;
      if (type === undefined) {
        if (this.hides(filesystem, path, name)) break;
        continue;
      }
      if (type !== 'directory') return next.length > 0 ? next : [{ filesystem, path: child }];
      next.push({ filesystem, path: child });
      if (this.isOpaqueDirectory(filesystem, child) || this.hides(filesystem, path, name)) break;
    }
    return next;
  }

  private hides(filesystem: SimulatedFilesystem, directory: string, name: string): boolean {
    return this.style === 'aufs' && filesystem.typeOf(posix.join(directory, `.wh.${name}`)) !== undefined;
  }

  private isOpaqueDirectory(filesystem: SimulatedFilesystem, directory: string): boolean {
    if (this.style === 'overlay') return filesystem.isOpaque(directory);
    return filesystem.typeOf(posix.join(directory, '.wh..wh..opq')) !== undefined;
  }

  private isMarker(name: string): boolean {
    return this.style === 'aufs' && name.startsWith('.wh.');
  }
}
