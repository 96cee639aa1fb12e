import type { EntryMetadata } from './batch.ts';
import type { ByteString } from './byte-string.ts';

/** A directory of the layer; its metadata is set when all else is done. */
export interface LayerDirectory {
  /** From its entry; from the entry that needed it, with mode 0755 and owner root, where it has none. */
  metadata: EntryMetadata;
  /** Nothing of lower layers shows in it. */
  opaque: boolean;
}

/** What a layer has so far, by path: directories, and all else, which is only known to be there. */
export class LayerTree {
  /** Parents come before what is in them. */
  readonly directories = new Map<ByteString, LayerDirectory>();
  readonly leaves = new Set<ByteString>();
  /** Whiteouts to make at the end, by the directory that holds them: until then the layer may still bring the entry itself. */
  readonly whiteouts = new Map<ByteString, Set<ByteString>>();

  has(path: ByteString): boolean {
    return this.leaves.has(path) || this.directories.has(path);
  }

  addWhiteout(parent: ByteString, path: ByteString): void {
    const paths = this.whiteouts.get(parent);
    if (paths === undefined) this.whiteouts.set(parent, new Set([path]));
    else paths.add(path);
  }

  /** Forgets one path; the caller sees to what lies below a directory. */
  remove(path: ByteString): void {
    this.leaves.delete(path);
    this.directories.delete(path);
    this.whiteouts.delete(path);
  }
}
