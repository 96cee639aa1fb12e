import { systemError } from './system-error.ts';
import { textOf } from './path-bytes.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), escapes decoded. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /** 'major:minor' of the super block. */
  readonly device: string;
  /** The path inside the file system that this mount shows: '/' but for bind mounts and subvolumes. */
  readonly root: string;
  /** Where it is mounted, as this process sees it. Bytes that are no UTF-8 are kept as path-bytes.ts says. */
  readonly target: string;
  /** Options of this mount alone ('ro', 'nosuid', 'relatime'). */
  readonly options: readonly string[];
  /** Peer group that this mount sends to and hears from. */
  readonly shared?: number;
  /** Peer group that this mount hears from. */
  readonly master?: number;
  /** Nearest peer group in sight that events come from, where the master itself is out of sight. */
  readonly propagateFrom?: number;
  readonly unbindable: boolean;
  readonly type: string;
  readonly source: string;
  /** Options of the file system, shared by all its mounts ('rw', 'upperdir=…'). */
  readonly superOptions: readonly string[];
}

/** The mounts of one mount namespace at one moment. Paths given to it are absolute, normalised and free of symlinks: it looks at text only. */
export class MountTable {
  /** Parents before children; of mounts stacked on one target the lower first. */
  readonly mounts: readonly Mount[];
  private byTarget: Map<string, Mount[]> | undefined;

  constructor(mounts: readonly Mount[]) {
    this.mounts = parentsFirst(mounts);
  }

  /** The mounts whose target is `target`, stacked: bottom first, so the last is the one in sight. Empty where there is none. */
  at(target: string): Mount[] {
    this.byTarget ??= groupBy(this.mounts, (mount) => mount.target);
    return [...(this.byTarget.get(target) ?? [])];
  }

  /** The mounts whose target is `path` or lies below it, hidden ones too; parents first, so unmount them in reverse. */
  atOrBelow(path: string): Mount[] {
    return this.mounts.filter(({ target }) => isWithin(path, target));
  }

  /**
   * The mount that a lookup of `path` ends in, undefined where the table has no root for it. It walks as the kernel does, from the root
   * into each mount on the way, so a mount that a later one hides is not found.
   */
  containing(path: string): Mount | undefined {
    const onTheWay = this.mounts.filter(({ target }) => isWithin(target, path));
    const known = new Set(onTheWay.map(({ id }) => id));
    const children = groupBy(
      onTheWay.filter((mount) => mount.parentId !== mount.id),
      (mount) => mount.parentId,
    );
    let found: Mount | undefined;
    for (const root of onTheWay.filter((mount) => mount.parentId === mount.id || !known.has(mount.parentId))) {
      const end = descend(root, children);
      if (found === undefined || end.target.length >= found.target.length) found = end;
    }
    return found;
  }
}

/** Reads the text of /proc/self/mountinfo. Give it bytes where paths may not be UTF-8. Fails with EINVAL, naming the line, where one can't be read: a mount that we overlook could be deleted through. */
export function parseMountinfo(text: string | Buffer): MountTable {
  const latin1 = (typeof text === 'string' ? Buffer.from(text, 'utf8') : text).toString('latin1');
  return new MountTable(
    latin1
      .split('\n')
      .filter((line) => line !== '')
      .map(parseLine),
  );
}

/** Decodes the kernel's `\ooo`. `escaped` holds one byte in each code unit, as Buffer's 'latin1' gives. */
export function decodeMountPath(escaped: string): string {
  const bytes = escaped.includes('\\')
    ? escaped.replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    : escaped;
  // oxlint-disable-next-line no-control-regex
  return /^[\0-\x7f]*$/.test(bytes) ? bytes : textOf(Buffer.from(bytes, 'latin1'));
}

/** Whether `path` is `directory` or lies below it; '/a' does not hold '/ab'. */
export function isWithin(directory: string, path: string): boolean {
  if (!path.startsWith(directory)) return false;
  return path.length === directory.length || directory.endsWith('/') || path[directory.length] === '/';
}

function parseLine(line: string): Mount {
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  const [id, parentId, device, root, target, options] = fields;
  const [type, source, ...superOptions] = dash < 0 ? [] : fields.slice(dash + 1);
  if (id === undefined || parentId === undefined || device === undefined || root === undefined || target === undefined || options === undefined)
    throw unreadable(line);
  if (type === undefined || source === undefined || !/^\d+$/.test(id) || !/^\d+$/.test(parentId)) throw unreadable(line);
  const optional = fields.slice(6, dash);
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: decodeMountPath(root),
    target: decodeMountPath(target),
    options: options.split(','),
    ...group('shared', 'shared:', optional),
    ...group('master', 'master:', optional),
    ...group('propagateFrom', 'propagate_from:', optional),
    unbindable: optional.includes('unbindable'),
    type: decodeMountPath(type),
    source: decodeMountPath(source),
    superOptions: superOptions.join(' ').split(',').map(decodeMountPath),
  };
}

function group<K extends string>(key: K, prefix: string, optional: readonly string[]): { [name in K]?: number } {
  const field = optional.find((tag) => tag.startsWith(prefix));
  return (field === undefined ? {} : { [key]: Number(field.slice(prefix.length)) }) as { [name in K]?: number };
}

function unreadable(line: string): Error {
  return systemError('EINVAL', 'read', '/proc/self/mountinfo', `a line that is no mount: ${JSON.stringify(line)}`);
}

/** Depth first from the mounts whose parent is themselves or out of sight; what a cycle keeps from being reached comes last. */
function parentsFirst(mounts: readonly Mount[]): Mount[] {
  const known = new Set(mounts.map(({ id }) => id));
  const children = groupBy(
    mounts.filter((mount) => mount.parentId !== mount.id),
    (mount) => mount.parentId,
  );
  const stack = mounts.filter((mount) => mount.parentId === mount.id || !known.has(mount.parentId)).toReversed();
  const ordered = new Set<Mount>();
  for (let mount = stack.pop(); mount !== undefined; mount = stack.pop()) {
    if (ordered.has(mount)) continue;
    ordered.add(mount);
    stack.push(...(children.get(mount.id) ?? []).toReversed());
  }
  return [...ordered, ...mounts.filter((mount) => !ordered.has(mount))];
}

/** From `root` into the child that a path walk meets first, the one with the shortest target, until there is none. */
function descend(root: Mount, children: ReadonlyMap<number, readonly Mount[]>): Mount {
  const seen = new Set<Mount>();
  let current = root;
  for (;;) {
    seen.add(current);
    const next = (children.get(current.id) ?? [])
      .filter((child) => !seen.has(child) && isWithin(current.target, child.target))
      .toSorted((a, b) => a.target.length - b.target.length)[0];
    if (next === undefined) return current;
    current = next;
  }
}

function groupBy<K>(mounts: readonly Mount[], keyOf: (mount: Mount) => K): Map<K, Mount[]> {
  const groups = new Map<K, Mount[]>();
  for (const mount of mounts) {
    const group = groups.get(keyOf(mount));
    if (group === undefined) groups.set(keyOf(mount), [mount]);
    else group.push(mount);
  }
  return groups;
}
