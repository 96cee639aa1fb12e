import { linkSync, mkdirSync } from 'node:fs';
import type { FileCalls } from '../../linux/kernel.ts';
import { EntryCopier } from './entry.ts';
import type { CopyResult, CopyTask, DirectoryTask, LinkedName, PlainError, UnfinishedDirectory } from './task.ts';
import { readMergedDirectory, type MergedEntry } from './merge-directory.ts';
import { joinPath, pathBytes, showPathString, type PathString } from '../path-string.ts';

/**
 * Does one task in this thread, synchronously, which is the fastest that Node has for many small files. It ends early, with success, where
 * `wanted` says that other threads are idle and there is work to give them; and with a failure at the first error or when aborted.
 */
export function runCopyTask(files: FileCalls, task: CopyTask, wanted: Int32Array): CopyResult {
  const run = new CopyRun(files, task, wanted);
  try {
    run.work();
  } catch (error) {
    return { ...run.result(), failure: { path: showPathString(run.at), error: plainError(error) } };
  }
  return run.result();
}

class CopyRun {
  /** What is being made, for the error. */
  at = '';
  private readonly task: CopyTask;
  private readonly wanted: Int32Array;
  private readonly copier: EntryCopier;
  private readonly stack: DirectoryTask[];
  private readonly links: LinkedName[] = [];
  private readonly unfinished: UnfinishedDirectory[] = [];
  private readonly swallowed: Array<{ what: string; error: PlainError }> = [];
  private effort = 0;

  constructor(files: FileCalls, task: CopyTask, wanted: Int32Array) {
    this.task = task;
    this.wanted = wanted;
    this.stack = [...task.directories];
    this.copier = new EntryCopier(files, {
      defaults: task.defaults,
      attributed: task.attributed,
      checkpoint: () => this.checkpoint(),
      onUnkept: (what, error) => this.swallowed.push({ what: `${what} of ${showPathString(this.at)}`, error: plainError(error) }),
    });
  }

  work(): void {
    for (let next = this.stack.pop(); next !== undefined; next = this.stack.pop()) {
      this.copyDirectory(next);
      if (this.stack.length > 0 && this.othersWait()) break;
    }
    for (const names of this.task.links) this.copyLinked(names);
    for (const { attributes, target } of this.task.unfinished) {
      this.at = target;
      this.copier.finishDirectory(attributes, target);
    }
  }

  result(): CopyResult {
    return { directories: this.stack, links: this.links, unfinished: this.unfinished, swallowed: this.swallowed };
  }

  /**
   * Makes all entries of one directory, its subdirectories empty. What happens inside those changes nothing of this one, so its metadata
   * can be set at once; unless a part of it is left to others, a hard link is still to come, or its mode would keep an ordinary user out.
   */
  private copyDirectory(task: DirectoryTask): void {
    const { target, sources, attributes = sources[0] } = task;
    const linksBefore = this.links.length;
    this.at = target;
    const entries = task.entries ?? readMergedDirectory(sources);
    let done = 0;
    for (; done < entries.length; done += 1) {
      if (entries.length - done >= 2 && this.othersWait()) break;
      const entry = entries[done] as MergedEntry;
      this.at = joinPath(target, entry.name);
      this.checkpoint();
      this.copyEntry(entry, this.at as PathString);
      this.effort += 1;
    }
    const half = Math.ceil((entries.length - done) / 2);
    for (const part of [entries.slice(done, done + half), entries.slice(done + half)])
      if (part.length > 0) this.stack.push({ target, sources, entries: part });
    // Parts come after the directory itself has been noted.
    if (task.entries !== undefined) return;
    this.at = target;
    if (attributes === undefined) throw new TypeError('a directory comes from some layer');
    if (done < entries.length || this.links.length > linksBefore || !this.task.defaults.privileged) this.unfinished.push({ attributes, target });
    else this.copier.finishDirectory(attributes, target);
  }

  private copyEntry(entry: MergedEntry, target: PathString): void {
    const [source] = entry.sources;
    if (source === undefined) throw new TypeError('an entry comes from some layer');
    if (entry.type === 'directory') {
      mkdirSync(pathBytes(target), 0o700);
      this.stack.push({ target, sources: entry.sources });
      return;
    }
    const isFile = entry.type === 'file';
    const inode = isFile ? this.copier.copyFile(source, target, true) : this.copier.copyOther(source, target, true);
    if (inode !== undefined) this.links.push({ inode, isFile, source, target });
  }

  private copyLinked(names: readonly LinkedName[]): void {
    const [first, ...others] = names;
    if (first === undefined) return;
    this.at = first.target;
    this.checkpoint();
    if (first.isFile) this.copier.copyFile(first.source, first.target, false);
    else this.copier.copyOther(first.source, first.target, false);
    for (const { target } of others) {
      this.at = target;
      linkSync(pathBytes(first.target), pathBytes(target));
    }
  }

  private checkpoint(): void {
    if (Atomics.load(this.task.aborted, 0) !== 0) throw new Error('aborted');
  }

  /** Not for every few files: a message to another thread costs as much as they do. */
  private othersWait(): boolean {
    return this.effort + this.copier.copiedBytes / BYTES_FOR_ONE_ENTRY >= SHARE_EFFORT && Atomics.load(this.wanted, 0) > 0;
  }
}

/** In entries; many bytes take as long as many entries. */
const SHARE_EFFORT = 64;
const BYTES_FOR_ONE_ENTRY = 128 * 1024;

function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
  return { message, ...(code !== undefined && { code }), ...(errno !== undefined && { errno }), ...(syscall !== undefined && { syscall }) };
}
