import { systemError } from '../system-error.ts';
import type { NodeType } from './filesystems.ts';
import type { Location, MountTree } from './mount-tree.ts';

/** Where a path leads. */
export interface Found extends Location {
  readonly type: NodeType;
  /** Whether a mount lies right there, so that `path` is its root. */
  readonly isMountRoot: boolean;
}

/** Walks `path` as the kernel does, through mounts and symlinks; the last name's symlink is followed with `followLast` only. Fails with ENOENT, ENOTDIR, ELOOP. */
export function walk(tree: MountTree, path: string, syscall: string, options: { readonly followLast: boolean }): Found {
  if (path.includes('\0')) throw systemError('EINVAL', syscall, path);
  const root = tree.enter({ mount: tree.root, path: '/' });
  let trail: Found[] = [{ ...root, type: 'directory', isMountRoot: true }];
  const names = splitPath(path);
  let links = 0;
  while (names.length > 0) {
    const name = names.shift() as string;
    const here = trail.at(-1) as Found;
    if (here.type !== 'directory') throw systemError('ENOTDIR', syscall, path);
    if (name === '..') {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const next = lookUp(tree, here, name);
    if (next === undefined) throw systemError('ENOENT', syscall, path);
    if (next.type === 'symlink' && (names.length > 0 || options.followLast)) {
      if ((links += 1) > 40) throw systemError('ELOOP', syscall, path);
      const target = next.mount.filesystem.readlink(next.path);
      if (target.startsWith('/')) trail = trail.slice(0, 1);
      names.unshift(...splitPath(target));
    } else trail.push(next);
  }
  return trail.at(-1) as Found;
}

function splitPath(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

function lookUp(tree: MountTree, directory: Found, name: string): Found | undefined {
  const below = { mount: directory.mount, path: directory.path === '/' ? `/${name}` : `${directory.path}/${name}` };
  const here = tree.enter(below);
  const type = here.mount.filesystem.typeOf(here.path);
  if (type === undefined) return undefined;
  return { ...here, type: type === 'whiteout' ? 'special' : type, isMountRoot: here.mount !== below.mount };
}
