import type { NewEntryDefaults } from './entry.ts';
import type { MergedEntry } from './merge-directory.ts';
import type { PathString } from '../path-string.ts';

/** A piece of work for a copy worker: plain data that passes between threads. */
export interface CopyTask {
  readonly kind: 'directories' | 'links' | 'finish';
  /** Set to 1 to make the worker stop at the next entry, or the next piece of a large file. */
  readonly aborted: Int32Array;
  readonly defaults: NewEntryDefaults;
  /** Set where calls on files go through programs: the paths of all layers that have extended attributes, so that only those are asked. */
  readonly attributed?: ReadonlySet<string>;
  /** For 'directories': each exists at `target`, empty. */
  readonly directories: readonly DirectoryTask[];
  /** For 'links': all visible names of each inode. */
  readonly links: ReadonlyArray<readonly LinkedName[]>;
  /** For 'finish': directories whose metadata could not be set before, the deepest first. */
  readonly unfinished: readonly UnfinishedDirectory[];
}

/** One merged directory and all below it. */
export interface DirectoryTask {
  readonly target: PathString;
  /** The layers' parts of it, topmost first. */
  readonly sources: readonly PathString[];
  /** The directory whose metadata it gets, if not the topmost source. */
  readonly attributes?: PathString;
  /** Only these of its entries: another thread has the rest, and the directory itself has been noted as unfinished. */
  readonly entries?: readonly MergedEntry[];
}

/** One visible name of an inode that has several in its layer. */
export interface LinkedName {
  /** '<device>:<number>' in the store. */
  readonly inode: string;
  readonly isFile: boolean;
  readonly source: PathString;
  readonly target: PathString;
}

/** A directory that waits for its metadata. */
export interface UnfinishedDirectory {
  readonly attributes: PathString;
  readonly target: PathString;
}

export interface CopyResult {
  /** Not begun: the worker was asked to share its work. */
  readonly directories: readonly DirectoryTask[];
  /** Names of inodes that have several, by inode; nothing is made of them yet. */
  readonly links: readonly LinkedName[];
  readonly unfinished: readonly UnfinishedDirectory[];
  /** What could not be kept. */
  readonly swallowed: ReadonlyArray<{ readonly what: string; readonly error: PlainError }>;
  readonly failure?: { readonly path: string; readonly error: PlainError };
}

/** An error as it passes between threads: structured clone would drop what matters. */
export interface PlainError {
  readonly message: string;
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
}

export interface WorkerStart {
  /** How many threads wait for work, so that one with more than it needs gives some back. */
  readonly wanted: Int32Array;
  /** How calls on files are made; the quickest way there is where unset. */
  readonly adapter?: 'util-linux';
}
