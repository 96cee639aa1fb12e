import { EntryBuilder } from './entry-builder.ts';
import { BLOCK_BYTES, readHeader, type TarHeader } from './header.ts';
import { layerError } from './layer-error.ts';
import { OldSparseReader, SparseMapReader } from './sparse.ts';
import type { TarEntry } from './tar-entry.ts';

/**
 * Reads a tar archive that comes in chunks of any size: v7, ustar, PAX, GNU and star, byte for byte. It is synchronous and hands out
 * slices of the chunks, so a chunk must stay as it is until `next` has given undefined.
 *
 * Fails with LAYER_INVALID and LIMIT_EXCEEDED, with byte offset and entry name; after that it is of no more use.
 *
 * @example
 * reader.add(chunk);
 * for (let event = reader.next(); event !== undefined; event = reader.next()) {
 *   if (event === 'entry') begin(reader.entry);
 *   else write(reader.content, reader.contentOffset);
 * }
 * reader.finish();          // after the last chunk
 */
export class TarReader {
  #chunk: Buffer = EMPTY;
  #at = 0;
  /** Offset in the archive of the chunk's first byte. */
  #base = 0;
  #state: State = 'header';
  /** A block, or a payload, that lies across chunks. */
  #carry: Buffer = EMPTY;
  #carried = 0;
  /** What #take gave: `#block[#blockStart]` is its first byte. */
  #block: Buffer = EMPTY;
  #blockStart = 0;

  #builder = new EntryBuilder();
  #header: TarHeader | undefined;
  #oldSparse: OldSparseReader | undefined;
  #sparseMap: SparseMapReader | undefined;
  /** Bytes of content, then of padding, still to come. */
  #remaining = 0;
  #padding = 0;
  #extent = 0;
  #extentDone = 0;
  #zeroBlocks = 0;

  #entry: TarEntry | undefined;
  #contentStart = 0;
  #contentEnd = 0;
  #contentOffset = 0;

  /** The entry that the last 'entry' event began. */
  get entry(): TarEntry {
    if (this.#entry === undefined) throw new TypeError('no entry has been read yet');
    return this.#entry;
  }

  /** Of the last 'content' event: a slice of the chunk. */
  get content(): Buffer {
    return this.#chunk.subarray(this.#contentStart, this.#contentEnd);
  }

  /** Where {@link content} begins in the chunk, for those who can do without a slice. */
  get contentStart(): number {
    return this.#contentStart;
  }

  /** Where {@link content} ends in the chunk. */
  get contentEnd(): number {
    return this.#contentEnd;
  }

  /** Where {@link content} belongs in the file, in bytes. Between two of a sparse file lie its holes. */
  get contentOffset(): number {
    return this.#contentOffset;
  }

  /** Gives the next bytes of the archive. All events of the chunk before must have been taken. */
  add(chunk: Buffer): void {
    this.#base += this.#chunk.length;
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next event; undefined where more bytes are needed, and at the end of the archive whatever may follow it. */
  next(): 'entry' | 'content' | undefined {
    for (;;) {
      switch (this.#state) {
        case 'header': {
          if (!this.#take(BLOCK_BYTES)) return undefined;
          if (this.#readHeader()) return 'entry';
          break;
        }
        case 'extension': {
          if (!this.#take(paddedBytes(this.#remaining))) return undefined;
          this.#readExtension();
          break;
        }
        case 'old sparse': {
          if (!this.#take(BLOCK_BYTES)) return undefined;
          this.#oldSparse?.add(this.#block, this.#blockStart);
          if (this.#oldSparse?.extended !== true) return this.#begin();
          break;
        }
        case 'sparse map': {
          if (!this.#take(BLOCK_BYTES)) return undefined;
          if (this.#readSparseMap()) return 'entry';
          break;
        }
        case 'content': {
          if (this.#remaining > 0) return this.#readContent() ? 'content' : undefined;
          if (!this.#skipPadding()) return undefined;
          this.#state = 'header';
          break;
        }
        case 'end':
          return undefined;
      }
    }
  }

  /** After the last chunk: fails with LAYER_INVALID where the archive stops in the middle of something. */
  finish(): void {
    const complete = this.#state === 'end' || (this.#state === 'header' && this.#carried === 0 && !this.#builder.begun);
    if (complete) return;
    throw layerError('LAYER_INVALID', 'the archive ends too early', {
      offset: this.#base + this.#chunk.length,
      entry: this.#state === 'content' ? this.#entry?.path : undefined,
    });
  }

  /** Makes `length` bytes available in #block; false where they are not all there yet. */
  #take(length: number): boolean {
    const available = this.#chunk.length - this.#at;
    if (this.#carried === 0 && available >= length) {
      this.#block = this.#chunk;
      this.#blockStart = this.#at;
      this.#at += length;
      return true;
    }
    if (available === 0) return length === 0;
    if (this.#carried === 0) this.#carry = Buffer.allocUnsafeSlow(length);
    const part = Math.min(available, length - this.#carried);
    this.#chunk.copy(this.#carry, this.#carried, this.#at, this.#at + part);
    this.#at += part;
    this.#carried += part;
    if (this.#carried < length) return false;
    this.#carried = 0;
    this.#block = this.#carry;
    this.#blockStart = 0;
    return true;
  }

  /** True where the header alone begins an entry. */
  #readHeader(): boolean {
    const offset = this.#base + this.#at - BLOCK_BYTES;
    const header = readHeader(this.#block, this.#blockStart, offset);
    if (header === undefined) {
      if (this.#builder.begun) throw layerError('LAYER_INVALID', 'an extension header without an entry', { offset });
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#state = 'end';
      return false;
    }
    if (this.#zeroBlocks === 1) throw layerError('LAYER_INVALID', 'an entry behind a block of zeros', { offset });
    this.#builder.begin(offset);
    this.#header = header;
    if (EXTENSIONS.has(header.type)) {
      this.#remaining = header.size;
      this.#builder.countExtension(header.size);
      this.#state = 'extension';
      return false;
    }
    return this.#readFileHeader(header);
  }

  #readFileHeader(header: TarHeader): boolean {
    const place = { offset: this.#builder.offset, entry: header.name };
    if (header.type === OLD_SPARSE) {
      this.#oldSparse = new OldSparseReader(this.#block, this.#blockStart, place);
      if (this.#oldSparse.extended) {
        this.#state = 'old sparse';
        return false;
      }
    } else if (this.#builder.hasSparseMap(header)) {
      this.#sparseMap = new SparseMapReader(place);
      this.#remaining = this.#builder.storedBytes(header);
      this.#state = 'sparse map';
      return false;
    }
    this.#begin();
    return true;
  }

  #readExtension(): void {
    const header = this.#header as TarHeader;
    this.#builder.extend(header.type, this.#block.subarray(this.#blockStart, this.#blockStart + this.#remaining));
    this.#state = 'header';
  }

  /** Format 1.0: the map is part of the stored content, whole blocks of it. */
  #readSparseMap(): boolean {
    const header = this.#header as TarHeader;
    this.#remaining -= BLOCK_BYTES;
    if (this.#remaining < 0)
      throw layerError('LAYER_INVALID', 'the sparse map is longer than the content', { offset: this.#builder.offset, entry: header.name });
    const extents = this.#sparseMap?.add(this.#block.subarray(this.#blockStart, this.#blockStart + BLOCK_BYTES));
    if (extents === undefined) return false;
    this.#start(this.#builder.build(header, { extents, stored: this.#remaining }));
    return true;
  }

  #begin(): 'entry' {
    const header = this.#header as TarHeader;
    const old = this.#oldSparse;
    this.#start(
      this.#builder.build(
        header,
        old === undefined ? undefined : { size: old.size, extents: old.finish(), stored: this.#builder.storedBytes(header) },
      ),
    );
    return 'entry';
  }

  #start(entry: TarEntry): void {
    this.#entry = entry;
    this.#oldSparse = undefined;
    this.#sparseMap = undefined;
    this.#remaining = entry.stored;
    this.#padding = paddedBytes(entry.stored) - entry.stored;
    this.#extent = 0;
    this.#extentDone = 0;
    this.#contentOffset = 0;
    this.#state = 'content';
  }

  /** The next run of content, up to the end of the chunk or of the extent. */
  #readContent(): boolean {
    const available = this.#chunk.length - this.#at;
    if (available === 0) return false;
    let length = Math.min(available, this.#remaining);
    const extents = this.entry.extents;
    if (extents === undefined) {
      this.#contentOffset = this.entry.stored - this.#remaining;
    } else {
      const extent = extents[this.#extent] as { offset: number; length: number };
      length = Math.min(length, extent.length - this.#extentDone);
      this.#contentOffset = extent.offset + this.#extentDone;
      this.#extentDone += length;
      if (this.#extentDone === extent.length) {
        this.#extent += 1;
        this.#extentDone = 0;
      }
    }
    this.#contentStart = this.#at;
    this.#contentEnd = this.#at + length;
    this.#at += length;
    this.#remaining -= length;
    return true;
  }

  #skipPadding(): boolean {
    const part = Math.min(this.#chunk.length - this.#at, this.#padding);
    this.#at += part;
    this.#padding -= part;
    return this.#padding === 0;
  }
}

type State = 'header' | 'extension' | 'old sparse' | 'sparse map' | 'content' | 'end';

const EMPTY = Buffer.alloc(0);

const codesOf = (types: string): Set<number> => new Set(Array.from(types, (type) => type.charCodeAt(0)));

/** PAX (own, Solaris' own, global) and GNU (long link, long name) extension headers. */
const EXTENSIONS: ReadonlySet<number> = codesOf('xXgKL');
const OLD_SPARSE = 'S'.charCodeAt(0);

function paddedBytes(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
