import { chmodSync, lchownSync, lutimesSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { LIMITS } from '../../limits.ts';
import type { Kernel } from '../../linux/kernel.ts';
import { textOf } from '../../linux/path-bytes.ts';
import { removeTree } from '../../linux/remove-tree.ts';
import type { LayerForm } from '../../paths/docker-store.ts';
import { setXattr } from './apply-batch.ts';
import type { BatchQueue, Process } from './batch-queue.ts';
import type { EntryMetadata } from './batch.ts';
import { byteStringOf, bytesOfByteString, type ByteString } from './byte-string.ts';
import { nameOfPath, normalizeEntryName, parentOfPath } from './entry-name.ts';
import { layerError, type LayerPlace } from './layer-error.ts';
import { LayerTree, type LayerDirectory } from './layer-tree.ts';
import { isWhole, nanosecondsOf, type TarEntry } from './tar-entry.ts';
import { findWhiteout, mayHaveXattr } from './whiteouts.ts';

/**
 * Makes a layer's tree of its entries, in the form asked for. Names are checked against what the layer has so far, so no path ever leads
 * through a symlink. Directories are made here at once, all else goes to the queue; hard links, whiteouts and the metadata of directories
 * come at the end, when everything they name is there.
 */
export class LayerWriter {
  readonly #kernel: Kernel;
  readonly #queue: BatchQueue;
  readonly #process: Process;
  readonly #target: string;
  readonly #form: LayerForm;
  readonly #tree = new LayerTree();
  #links: Array<{ readonly path: ByteString; readonly target: ByteString }> = [];
  /** Of hard links still to be made: the file that each will share. */
  readonly #linked = new Map<ByteString, ByteString>();
  /** The directory that took the last entry: the next one mostly goes there too. */
  #lastParent: ByteString | undefined;
  /** Bytes still to come of the file in progress; nothing is made of content that has no file. */
  #remaining = 0;
  entries = 0;

  constructor(options: { kernel: Kernel; queue: BatchQueue; process: Process; target: string; form: LayerForm }) {
    this.#kernel = options.kernel;
    this.#queue = options.queue;
    this.#process = options.process;
    this.#target = options.target;
    this.#form = options.form;
    this.#tree.directories.set('', { metadata: IMPLIED, opaque: false });
  }

  /** Fails with LAYER_UNSAFE, LAYER_INVALID, LIMIT_EXCEEDED. Wait for what it gives before the next call. */
  entry(entry: TarEntry): Promise<void> | undefined {
    const place: LayerPlace = { offset: entry.offset, entry: entry.path };
    this.#remaining = 0;
    this.entries += 1;
    if (this.entries > LIMITS.layerEntries)
      throw layerError('LIMIT_EXCEEDED', `the layer has more than ${LIMITS.layerEntries} entries`, place, { limit: LIMITS.layerEntries });
    const path = normalizeEntryName(entry.path, place);
    const whiteout = findWhiteout(path, place);
    if (whiteout?.kind === 'ignored') return undefined;
    if (path === '' && entry.kind !== 'directory') throw layerError('LAYER_INVALID', 'the root of the layer is no directory', place);
    if (path !== '') this.#ensureParent(path, entry, place);
    if (whiteout === undefined) return this.#add(path, entry, place);
    if (this.#form === 'plain') return this.#add(path, markerOf(entry), place);
    if (whiteout.kind === 'removed') this.#tree.addWhiteout(parentOfPath(path), whiteout.path);
    else (this.#tree.directories.get(whiteout.path) as LayerDirectory).opaque = true;
    return undefined;
  }

  /** Content of the last entry: the bytes `[start, end)` of `chunk` belong at `offset` of the file. */
  content(chunk: Buffer, start: number, end: number, offset: number): Promise<void> | undefined {
    if (this.#remaining === 0) return undefined;
    this.#remaining -= end - start;
    const waiting = this.#queue.content(chunk, start, end, offset);
    if (this.#remaining > 0) return waiting;
    if (waiting !== undefined) return waiting.then(() => this.#queue.endFile());
    this.#queue.endFile();
    return undefined;
  }

  /** All entries have come: finishes the tree. Fails with IO_ERROR; `check` is called now and then and may throw to stop. */
  async finish(check: () => void): Promise<void> {
    await this.#makeLinks();
    for (const paths of this.#tree.whiteouts.values()) {
      for (const path of paths) {
        const directory = this.#tree.directories.get(path);
        if (directory !== undefined) directory.opaque = true;
        else if (!this.#tree.leaves.has(path)) await this.#queue.node(path, WHITEOUT, S_IFCHR, 0, 0);
      }
    }
    await this.#queue.drain();
    let count = 0;
    for (const [path, directory] of [...this.#tree.directories].toReversed()) {
      this.#finishDirectory(this.#path(path), directory, this.#tree.whiteouts.has(path));
      count += 1;
      if (count % TURN_DIRECTORIES !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      check();
    }
  }

  #add(path: ByteString, entry: TarEntry, place: LayerPlace): Promise<void> | undefined {
    if (entry.kind === 'directory') {
      const known = this.#tree.directories.get(path);
      if (known !== undefined) {
        known.metadata = metadataOf(entry);
        return undefined;
      }
      if (this.#tree.leaves.has(path)) return this.#replace(path, entry, place);
      this.#makeDirectory(path, metadataOf(entry));
      return undefined;
    }
    if (entry.kind === 'hardlink') return this.#addLink(path, entry, place);
    if (this.#tree.has(path)) return this.#replace(path, entry, place);
    this.#tree.leaves.add(path);
    if (entry.kind === 'file') return this.#addFile(path, entry);
    if (entry.kind === 'symlink') return this.#addSymlink(path, entry, place);
    return this.#addNode(path, entry, place);
  }

  #addFile(path: ByteString, entry: TarEntry): Promise<void> | undefined {
    this.#remaining = entry.stored;
    const waiting = this.#queue.file(path, metadataOf(entry), entry.size, entry.extents !== undefined);
    if (entry.stored > 0) return waiting;
    if (waiting !== undefined) return waiting.then(() => this.#queue.endFile());
    this.#queue.endFile();
    return undefined;
  }

  #addSymlink(path: ByteString, entry: TarEntry, place: LayerPlace): Promise<void> | undefined {
    const { linkPath } = entry;
    if (linkPath === '' || linkPath.length > LIMITS.pathBytes || linkPath.includes('\0'))
      throw layerError('LAYER_INVALID', 'a symlink whose target is empty, too long or holds a NUL', place);
    return this.#queue.symlink(path, linkPath, metadataOf(entry));
  }

  /** Without privilege a device is an empty file, so that its name is there to bind a real one on. */
  #addNode(path: ByteString, entry: TarEntry, place: LayerPlace): Promise<void> | undefined {
    const { deviceMajor: major, deviceMinor: minor } = entry;
    if (entry.kind === 'fifo') return this.#queue.node(path, metadataOf(entry), entry.mode | S_IFIFO, 0, 0);
    if (major < 0 || major > LARGEST_MAJOR || minor < 0 || minor > LARGEST_MINOR)
      throw layerError('LAYER_INVALID', `the device number ${major}:${minor} is out of range`, place);
    if (!this.#process.privileged) return this.#addFile(path, { ...entry, kind: 'file', size: 0, stored: 0 });
    return this.#queue.node(path, metadataOf(entry), entry.mode | (entry.kind === 'block' ? S_IFBLK : S_IFCHR), major, minor);
  }

  #addLink(path: ByteString, entry: TarEntry, place: LayerPlace): Promise<void> | undefined {
    if (entry.linkPath === '') throw layerError('LAYER_INVALID', 'a hard link without a target', place);
    const target = normalizeEntryName(entry.linkPath, place);
    if (!this.#tree.leaves.has(target)) throw this.#badTarget(target, place);
    // tar archives of a file given twice hold a link to itself.
    if (target === path) return undefined;
    if (this.#tree.has(path)) return this.#replace(path, entry, place);
    this.#tree.leaves.add(path);
    const file = this.#linked.get(target) ?? target;
    this.#linked.set(path, file);
    this.#links.push({ path, target: file });
    return undefined;
  }

  #badTarget(target: ByteString, place: LayerPlace): Error {
    for (let parent = parentOfPath(target); parent !== ''; parent = parentOfPath(parent))
      if (this.#tree.leaves.has(parent))
        return layerError('LAYER_UNSAFE', 'a hard link whose target leads through an entry that is no directory', place);
    if (this.#tree.directories.has(target)) return layerError('LAYER_INVALID', 'a hard link to a directory', place);
    return layerError('LAYER_INVALID', 'a hard link to what the layer does not hold before it', place);
  }

  /** A second entry of a path: the last one wins. All that is under way is done first, so that what goes is really there. */
  async #replace(path: ByteString, entry: TarEntry, place: LayerPlace): Promise<void> {
    await this.#makeLinks();
    await this.#queue.drain();
    if (this.#tree.directories.has(path)) {
      this.#forgetBelow(path);
      await removeTree(this.#kernel, textOf(Buffer.from(this.#path(path))));
    } else {
      unlinkSync(this.#path(path));
    }
    this.#tree.remove(path);
    this.#lastParent = undefined;
    await this.#add(path, entry, place);
  }

  /** What lies below a directory is read from the disk: it costs what was made there, not the size of the whole layer. */
  #forgetBelow(path: ByteString): void {
    for (const bytes of readdirSync(this.#path(path), { encoding: 'buffer' })) {
      const child = `${path}/${byteStringOf(bytes)}`;
      if (this.#tree.directories.has(child)) this.#forgetBelow(child);
      this.#tree.remove(child);
    }
  }

  async #makeLinks(): Promise<void> {
    if (this.#links.length === 0) return;
    await this.#queue.drain();
    for (const { path, target } of this.#links) await this.#queue.link(path, target);
    this.#links = [];
    this.#linked.clear();
    await this.#queue.drain();
  }

  /** Every directory above `path` is there when this is done. */
  #ensureParent(path: ByteString, entry: TarEntry, place: LayerPlace): void {
    const parent = parentOfPath(path);
    if (parent === this.#lastParent) return;
    if (!this.#tree.directories.has(parent)) {
      if (this.#tree.leaves.has(parent))
        throw layerError('LAYER_UNSAFE', `its parent ${JSON.stringify(nameOfPath(parent))} is a symlink, or no directory, in this layer`, place);
      this.#ensureParent(parent, entry, place);
      this.#makeDirectory(parent, { ...IMPLIED, modified: entry.modified });
    }
    this.#lastParent = parent;
  }

  #makeDirectory(path: ByteString, metadata: EntryMetadata): void {
    mkdirSync(this.#path(path), DIRECTORY_MODE);
    this.#tree.directories.set(path, { metadata, opaque: false });
  }

  #finishDirectory(path: string | Buffer, { metadata, opaque }: LayerDirectory, holdsWhiteouts: boolean): void {
    const { mode, uid, gid, modified, accessed = modified, xattrs } = metadata;
    const { privileged, umask, ...self } = this.#process;
    if (privileged && (uid !== self.uid || gid !== self.gid)) lchownSync(path, uid, gid);
    const files = this.#kernel.files;
    for (const { name, value } of xattrs) setXattr(files, Buffer.from(path), name, value, this.#queue.warnings);
    if (opaque) files.setXattr(path, 'trusted.overlay.opaque', Buffer.from('y'));
    // overlayfs lists a directory that only one layer has as it is, whiteouts too, unless it carries an origin; an empty one means 'unknown'.
    if (holdsWhiteouts) files.setXattr(path, 'trusted.overlay.origin', Buffer.alloc(0));
    if (mode !== (DIRECTORY_MODE & ~umask)) chmodSync(path, mode);
    if (isWhole(modified) && isWhole(accessed)) lutimesSync(path, accessed.seconds, modified.seconds);
    else files.setTimes(path, nanosecondsOf(accessed), nanosecondsOf(modified));
  }

  #path(path: ByteString): string | Buffer {
    if (path === '') return this.#target;
    return ASCII.test(path) ? `${this.#target}/${path}` : Buffer.concat([Buffer.from(`${this.#target}/`), bytesOfByteString(path)]);
  }
}

const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
/** What the kernel's dev_t of 32 bits holds. */
const LARGEST_MAJOR = 0xfff;
const LARGEST_MINOR = 0xfffff;
/** Directories are made so, and get their own mode at the end. */
const DIRECTORY_MODE = 0o755;
/** Directories finished before others get a turn. */
const TURN_DIRECTORIES = 1000;
const ASCII = /^[\0-\x7f]*$/;

const EPOCH = { seconds: 0, nanoseconds: 0 };
const IMPLIED: EntryMetadata = { mode: DIRECTORY_MODE, uid: 0, gid: 0, modified: EPOCH, accessed: undefined, xattrs: [] };
/** Overlayfs looks at nothing but the type and the device number. */
const WHITEOUT: EntryMetadata = { mode: 0, uid: 0, gid: 0, modified: EPOCH, accessed: undefined, xattrs: [] };

/** A whiteout in the plain form: a file of that name, whatever the entry was. */
function markerOf(entry: TarEntry): TarEntry {
  return { ...entry, kind: 'file', linkPath: '', size: 0, stored: 0, xattrs: [], extents: undefined };
}

/** An entry is its own metadata but for attributes that may not be set. */
function metadataOf(entry: TarEntry): EntryMetadata {
  if (entry.xattrs.length === 0) return entry;
  const { mode, uid, gid, modified, accessed, xattrs } = entry;
  return { mode, uid, gid, modified, accessed, xattrs: xattrs.filter(({ name }) => mayHaveXattr(name)) };
}
