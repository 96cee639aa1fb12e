import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type BigIntStats } from 'node:fs';
import { openFileCalls } from '../../src/linux/file-calls.ts';
import type { FileCalls } from '../../src/linux/kernel.ts';

/**
 * All that a directory tree is made of, by path relative to its root; the root itself is ''. Names need not be UTF-8: every path, name and
 * symlink target is held as latin1 text, one character a byte, and {@link showPath} makes it readable.
 */
export type Tree = ReadonlyMap<string, TreeEntry>;

export interface TreeEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'character device' | 'block device' | 'fifo' | 'socket';
  /** Permission bits with setuid, setgid and sticky, octal. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Files only, in bytes. */
  readonly size?: number;
  /** Files only: SHA-256 of the content, hex. */
  readonly content?: string;
  /** Symlinks only. */
  readonly target?: string;
  /** Devices only: 'major:minor'. */
  readonly device?: string;
  /** st_nlink of all but directories, where the file systems differ. */
  readonly linkCount?: number;
  /** All paths of this tree that name the same inode, sorted and joined by NUL; '' where there is one. */
  readonly linkGroup: string;
  /** Last modification, nanoseconds since the epoch. */
  readonly modified: bigint;
  /** Extended attributes with values in hex, sorted, one a line. */
  readonly xattrs: string;
}

/** Content hashes by inode, size and time of last change, which nobody can set: with one a file is read once however often its tree is. */
export type ContentCache = Map<string, string>;

/** Reads a tree completely; it never follows a symlink. */
export function readTree(root: string, cache: ContentCache = new Map()): Tree {
  const walk: Walk = { files: openFileCalls(), cache, entries: new Map(), byInode: new Map() };
  visit(walk, Buffer.from(root), '');
  for (const paths of walk.byInode.values()) {
    if (paths.length < 2) continue;
    const linkGroup = paths.toSorted().join('\0');
    for (const path of paths) walk.entries.set(path, { ...(walk.entries.get(path) as TreeEntry), linkGroup });
  }
  return walk.entries;
}

/** One thing that differs. `field` is 'entry' where the path is only in one tree; the values are then its types, undefined where absent. */
export interface TreeDifference {
  readonly path: string;
  readonly field: 'entry' | keyof TreeEntry;
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** Every difference, in order of path. Two equal trees give none. */
export function diffTrees(expected: Tree, actual: Tree): TreeDifference[] {
  const differences: TreeDifference[] = [];
  for (const path of [...new Set([...expected.keys(), ...actual.keys()])].toSorted()) {
    const [left, right] = [expected.get(path), actual.get(path)];
    if (left === undefined || right === undefined || left.type !== right.type) {
      differences.push({ path, field: 'entry', expected: left?.type, actual: right?.type });
      continue;
    }
    for (const field of FIELDS) {
      const [a, b] = [left[field]?.toString(), right[field]?.toString()];
      if (a !== b) differences.push({ path, field, expected: a, actual: b });
    }
  }
  return differences;
}

/** One line for people: what, where, expected and found. */
export function showDifference({ path, field, expected, actual }: TreeDifference): string {
  return `${showPath(path)}: ${field} is ${showValue(actual)}, expected ${showValue(expected)}`;
}

/** A path of a tree as text, quoted where that is needed to see it. */
export function showPath(path: string): string {
  if (path === '') return '(root)';
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return /^[\w./@+:%~,-]+$/.test(text) ? text : JSON.stringify(text);
}

/** The path of a tree that `text` (UTF-8) names. */
export function treePath(text: string): string {
  return Buffer.from(text).toString('latin1');
}

const FIELDS = ['mode', 'uid', 'gid', 'size', 'content', 'target', 'device', 'linkCount', 'linkGroup', 'modified', 'xattrs'] as const;

interface Walk {
  readonly files: FileCalls;
  readonly cache: ContentCache;
  readonly entries: Map<string, TreeEntry>;
  readonly byInode: Map<string, string[]>;
}

function visit(walk: Walk, at: Buffer, path: string): void {
  const stat = lstatSync(at, { bigint: true });
  const type = typeOf(stat);
  walk.entries.set(path, describeEntry(walk, at, stat, type));
  if (type !== 'directory') {
    const inode = `${stat.dev}:${stat.ino}`;
    const known = walk.byInode.get(inode);
    if (known === undefined) walk.byInode.set(inode, [path]);
    else known.push(path);
    return;
  }
  for (const name of readdirSync(at, { encoding: 'buffer' })) {
    const text = name.toString('latin1');
    visit(walk, Buffer.concat([at, Buffer.from('/'), name]), path === '' ? text : `${path}/${text}`);
  }
}

function describeEntry(walk: Walk, at: Buffer, stat: BigIntStats, type: TreeEntry['type']): TreeEntry {
  return {
    type,
    mode: (Number(stat.mode) & 0o7777).toString(8).padStart(4, '0'),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    ...(type === 'file' && { size: Number(stat.size), content: contentOf(walk, at, stat) }),
    ...(type === 'symlink' && { target: readlinkSync(at, { encoding: 'buffer' }).toString('latin1') }),
    ...(type.endsWith('device') && { device: deviceOf(stat.rdev) }),
    ...(type !== 'directory' && { linkCount: Number(stat.nlink) }),
    linkGroup: '',
    modified: stat.mtimeNs,
    xattrs: readXattrs(walk, at),
  };
}

function typeOf(stat: BigIntStats): TreeEntry['type'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isCharacterDevice()) return 'character device';
  if (stat.isBlockDevice()) return 'block device';
  return stat.isFIFO() ? 'fifo' : 'socket';
}

/** As glibc's gnu_dev_major and gnu_dev_minor. */
function deviceOf(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

function contentOf({ cache }: Walk, at: Buffer, stat: BigIntStats): string {
  const key = [stat.dev, stat.ino, stat.size, stat.ctimeNs].join(':');
  const content = cache.get(key) ?? hashFile(at);
  cache.set(key, content);
  return content;
}

const chunk = Buffer.allocUnsafeSlow(1 << 20);

function hashFile(at: Buffer): string {
  const hash = createHash('sha256');
  const fd = openSync(at, 'r');
  try {
    for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) hash.update(chunk.subarray(0, read));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

function readXattrs({ files }: Walk, at: Buffer): string {
  return files
    .listXattrs(at)
    .map((name) => `${name.toString('latin1')}=${files.getXattr(at, name)?.toString('hex')}`)
    .toSorted()
    .join('\n');
}

function showValue(value: string | undefined): string {
  if (value === undefined) return 'nothing';
  const text = value.replaceAll('\0', ' = ');
  return text.length > 200 ? `${text.slice(0, 200)}…` : JSON.stringify(text);
}
