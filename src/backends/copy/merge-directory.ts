import { readdirSync, type Dirent } from 'node:fs';
import { joinPath, pathBytes, type PathString } from '../path-string.ts';

/** One name in a merged directory. */
export interface MergedEntry {
  readonly name: string;
  readonly type: EntryType;
  /** Where it comes from; for a directory every layer's part of it that shows, topmost first. */
  readonly sources: readonly PathString[];
}

export type EntryType = 'directory' | 'file' | 'symlink' | 'special';

/** What one layer says of one directory. */
export interface Listing {
  readonly directory: PathString;
  readonly entries: ReadonlyArray<{ readonly name: string; readonly type: EntryType }>;
}

/**
 * Reads one directory out of a stack of layers in plain form: `sources` are the parts of it, topmost first. Layers below one that makes the
 * directory opaque are not even read.
 */
export function readMergedDirectory(sources: readonly PathString[]): MergedEntry[] {
  const listings: Listing[] = [];
  for (const directory of sources) {
    const listing = { directory, entries: readEntries(directory) };
    listings.push(listing);
    if (isOpaque(listing)) break;
  }
  return mergeListings(listings);
}

/**
 * The entries that show, topmost first in each name (OCI image-spec layer.md, "Representing Changesets"):
 * - `.wh.<name>` hides `<name>` of the layers below, not of its own layer, and `.wh..wh..opq` all names of the layers below;
 * - directories merge as long as nothing else of that name lies between them; anything but a directory hides what is below it;
 * - other names that start with `.wh..wh.` are AUFS's own bookkeeping, and no part of an image.
 */
export function mergeListings(listings: readonly Listing[]): MergedEntry[] {
  const merged = new Map<string, Merging>();
  for (const { directory, entries } of listings) {
    const hidden: string[] = [];
    let opaque = false;
    for (const { name, type } of entries) {
      if (name.startsWith(WHITEOUT)) {
        if (name === OPAQUE) opaque = true;
        else if (!name.startsWith(BOOKKEEPING)) hidden.push(name.slice(WHITEOUT.length));
      } else add(merged, directory, name, type);
    }
    if (opaque) break;
    // Only now: a layer's whiteouts are for what lies below it.
    for (const name of hidden) hide(merged, name);
  }
  return [...merged.values()].filter((entry): entry is Merging & MergedEntry => entry.type !== 'hidden');
}

const WHITEOUT = '.wh.';
const BOOKKEEPING = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

interface Merging {
  readonly name: string;
  readonly type: EntryType | 'hidden';
  readonly sources: PathString[];
  /** A directory that lower layers may still add to. */
  open: boolean;
}

function add(merged: Map<string, Merging>, directory: PathString, name: string, type: EntryType): void {
  const above = merged.get(name);
  if (above === undefined) merged.set(name, { name, type, sources: [joinPath(directory, name)], open: type === 'directory' });
  else if (above.open && type === 'directory') above.sources.push(joinPath(directory, name));
  else above.open = false;
}

function hide(merged: Map<string, Merging>, name: string): void {
  const above = merged.get(name);
  if (above === undefined) merged.set(name, { name, type: 'hidden', sources: [], open: false });
  else above.open = false;
}

function isOpaque({ entries }: Listing): boolean {
  return entries.some(({ name }) => name === OPAQUE);
}

/** Names as bytes: where the file system gives no types node:fs asks for each by its path, which it can only join from bytes and bytes. */
function readEntries(directory: PathString): Listing['entries'] {
  // @types/node has no Dirent with a Buffer for a name.
  const entries = readdirSync(pathBytes(directory), { withFileTypes: true, encoding: 'buffer' as 'utf8' }) as unknown as Array<
    Dirent & { name: Buffer }
  >;
  return entries.map((entry) => ({ name: entry.name.toString('latin1'), type: typeOf(entry) }));
}

function typeOf(entry: Dirent): EntryType {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symlink' : 'special';
}
