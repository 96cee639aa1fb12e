import { chmodSync, lchownSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FileCalls } from '../../src/linux/kernel.ts';
import type { LayerForm } from '../../src/paths/docker-store.ts';

/** What one layer says of one path. */
export type LayerEntry = (
  | { readonly type: 'file'; readonly content: string /** Grown to this many bytes by a hole. */; readonly size?: number }
  | { readonly type: 'directory' /** Hides what lower layers have in it. */; readonly opaque?: boolean }
  | { readonly type: 'symlink'; readonly target: string }
  | { readonly type: 'link' /** A path of the same layer. */; readonly to: string }
  | { readonly type: 'fifo' }
  | { readonly type: 'device'; readonly major: number; readonly minor: number }
  | { readonly type: 'whiteout' }
) & {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly modifiedNs?: bigint;
  readonly xattrs?: Readonly<Record<string, string>>;
};

/** A layer by path, '' being its root. Parents that are not named are plain directories. */
export type LayerContent = Readonly<Record<string, LayerEntry>>;

const DEFAULT_TIME_NS = 1_500_000_000_000_000_000n;

export const file = (content: string, more: Partial<LayerEntry> = {}): LayerEntry => ({ type: 'file', content, ...more }) as LayerEntry;
export const directory = (more: Partial<LayerEntry> = {}): LayerEntry => ({ type: 'directory', ...more }) as LayerEntry;
export const opaque: LayerEntry = { type: 'directory', opaque: true };
export const symlink = (target: string, more: Partial<LayerEntry> = {}): LayerEntry => ({ type: 'symlink', target, ...more }) as LayerEntry;
export const whiteout: LayerEntry = { type: 'whiteout' };

/** Writes a layer in one of the forms that a store keeps, below `at`, which is made. Parents come first, whatever the order in `content`. */
export function makeLayer(files: FileCalls, at: string, form: LayerForm, content: LayerContent): string {
  mkdirSync(at, { recursive: true });
  chmodSync(at, 0o755);
  const complete: LayerContent = { ...impliedDirectories(content), ...content };
  const paths = Object.keys(complete).toSorted();
  const isLink = (path: string): boolean => complete[path]?.type === 'link';
  for (const path of [...paths.filter((path) => !isLink(path)), ...paths.filter(isLink)])
    makeEntry(files, at, path, form, complete[path] as LayerEntry);
  // The deepest first, so that nothing changes a directory after it has its times.
  for (const path of paths.toReversed()) decorate(files, join(at, path), complete[path] as LayerEntry);
  return at;
}

function impliedDirectories(content: LayerContent): LayerContent {
  const parents = Object.keys(content).flatMap((path) => path.split('/').map((_, index, segments) => segments.slice(0, index).join('/')));
  return Object.fromEntries(['', ...parents].map((path) => [path, directory()]));
}

function makeEntry(files: FileCalls, root: string, path: string, form: LayerForm, entry: LayerEntry): void {
  const at = join(root, path);
  if (path !== '') mkdirSync(dirname(at), { recursive: true });
  switch (entry.type) {
    case 'file':
      writeFileSync(at, entry.content);
      if (entry.size !== undefined) truncateSync(at, entry.size);
      break;
    case 'directory':
      mkdirSync(at, { recursive: true });
      if (entry.opaque === true && form === 'plain') writeFileSync(join(at, '.wh..wh..opq'), '');
      if (entry.opaque === true && form === 'overlay') files.setXattr(at, 'trusted.overlay.opaque', Buffer.from('y'));
      break;
    case 'symlink':
      symlinkSync(entry.target, at);
      break;
    case 'link':
      linkSync(join(root, entry.to), at);
      break;
    case 'fifo':
      files.mknod(at, 0o010644, 0, 0);
      break;
    case 'device':
      files.mknod(at, 0o020644, entry.major, entry.minor);
      break;
    case 'whiteout':
      if (form === 'plain') writeFileSync(join(dirname(at), `.wh.${at.slice(dirname(at).length + 1)}`), '');
      else makeOverlayWhiteout(files, at);
      break;
  }
}

/**
 * overlayfs lists a directory that only one layer has without a look for whiteouts, unless it carries an origin; an empty one stands for
 * 'unknown' (Linux 4.15, "ovl: no direct iteration for dir with origin xattr").
 */
function makeOverlayWhiteout(files: FileCalls, at: string): void {
  files.mknod(at, 0o020000, 0, 0);
  files.setXattr(dirname(at), 'trusted.overlay.origin', Buffer.alloc(0));
}

function decorate(files: FileCalls, at: string, entry: LayerEntry): void {
  if (entry.type === 'whiteout' || entry.type === 'link') return;
  if (entry.uid !== undefined || entry.gid !== undefined) lchownSync(at, entry.uid ?? 0, entry.gid ?? 0);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) files.setXattr(at, name, Buffer.from(value));
  if (entry.mode !== undefined && entry.type !== 'symlink') chmodSync(at, entry.mode);
  const modifiedNs = entry.modifiedNs ?? DEFAULT_TIME_NS;
  files.setTimes(at, modifiedNs, modifiedNs);
}
