import { byteStringOf, type ByteString } from './byte-string.ts';
import type { Timestamp, Xattr } from './tar-entry.ts';

/**
 * Work for a thread, encoded in one block of memory that changes hands: records one behind the other, each a fixed part (see FIELD), a
 * path, what goes with it (extended attributes, or a link's target) and, for a file, its content. Nothing in it is an object, so handing
 * over 256 files costs one message.
 */
export const BATCH_BYTES = 256 * 1024 + 64 * 1024;

/** Entries in one batch at most: enough to make messages cheap, few enough that both threads get some of a small layer. */
export const BATCH_ENTRIES = 256;

/** What a record asks for. */
export const OPERATION = {
  /** Makes a regular file with the record's content, and leaves it open unless it is the last record of the file. */
  file: 1,
  /** More content of the open file. */
  more: 2,
  symlink: 3,
  /** A device or FIFO. */
  node: 4,
  /** A hard link; the second path is its target. */
  link: 5,
} as const;

export const FLAG = {
  /** The file is complete with this record. */
  last: 1,
  chown: 2,
  chmod: 4,
  /** The file is as long as its size says, not only as its content. */
  sparse: 8,
  xattrs: 16,
  /** Its times are not ones that node:fs sets exactly: they have fractions, or are before the epoch, which it takes for now. */
  exactTimes: 32,
} as const;

/** What all kinds of entries have. */
export interface EntryMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: Timestamp;
  readonly accessed: Timestamp | undefined;
  readonly xattrs: readonly Xattr[];
}

/** 32-bit words of the fixed part. The times are two struct timespec of 64-bit numbers, for futimens(2). */
const FIELD = {
  operation: 0,
  flags: 1,
  length: 2,
  mode: 3,
  uid: 4,
  gid: 5,
  major: 6,
  minor: 7,
  path: 8,
  extra: 9,
  data: 10,
  accessed: 12,
  modified: 16,
};
/** 64-bit floats in it. */
const FLOAT = { position: 10, size: 11 };
const FIXED_BYTES = 96;

/** Bytes that a record takes without its content. */
export function recordBytes(pathBytes: number, extraBytes: number): number {
  return aligned(FIXED_BYTES + pathBytes + 1 + extraBytes);
}

/** Bytes that extended attributes take in a record. */
export function xattrsBytes(xattrs: readonly Xattr[]): number {
  return xattrs.reduce((sum, { name, value }) => sum + 8 + name.length + value.length, 0);
}

/** Writes records into a block of memory. The caller sees to it that they fit. */
export class BatchWriter {
  readonly memory: ArrayBuffer;
  readonly #prefix: Buffer;
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  /** First byte of the record in progress, and the first free byte. */
  #record = 0;
  #end = 0;
  entries = 0;

  /** `prefix` goes before every path. */
  constructor(memory: ArrayBuffer, prefix: Buffer) {
    this.memory = memory;
    this.#prefix = prefix;
    this.#bytes = Buffer.from(memory);
    this.#words = new Uint32Array(memory);
    this.#floats = new Float64Array(memory);
  }

  get length(): number {
    return this.#end;
  }

  get room(): number {
    return this.memory.byteLength - this.#end;
  }

  begin(operation: number, flags: number, path: ByteString, extraBytes: number): void {
    const record = this.#end;
    const word = record >> 2;
    const words = this.#words;
    this.#record = record;
    words[word + FIELD.operation] = operation;
    words[word + FIELD.flags] = flags;
    const pathBytes = this.#prefix.length + path.length;
    words[word + FIELD.path] = pathBytes;
    words[word + FIELD.extra] = extraBytes;
    words[word + FIELD.data] = 0;
    this.#bytes.set(this.#prefix, record + FIXED_BYTES);
    if (path !== '') this.#bytes.write(path, record + FIXED_BYTES + this.#prefix.length, 'latin1');
    this.#bytes[record + FIXED_BYTES + pathBytes] = 0;
    this.#end = record + recordBytes(pathBytes, extraBytes);
    words[word + FIELD.length] = this.#end - record;
    this.entries += 1;
  }

  metadata({ mode, uid, gid, modified, accessed = modified }: EntryMetadata): void {
    const word = this.#record >> 2;
    const words = this.#words;
    words[word + FIELD.mode] = mode;
    words[word + FIELD.uid] = uid;
    words[word + FIELD.gid] = gid;
    writeTime(words, word + FIELD.accessed, accessed);
    writeTime(words, word + FIELD.modified, modified);
  }

  /** Of a node: its mode with the type's bits. */
  device(mode: number, major: number, minor: number): void {
    this.#words[(this.#record >> 2) + FIELD.mode] = mode;
    this.#words[(this.#record >> 2) + FIELD.major] = major;
    this.#words[(this.#record >> 2) + FIELD.minor] = minor;
  }

  position(position: number): void {
    this.#floats[(this.#record >> 3) + FLOAT.position] = position;
  }

  size(size: number): void {
    this.#floats[(this.#record >> 3) + FLOAT.size] = size;
  }

  /** The target of a link. */
  text(text: ByteString, prefix?: Buffer): void {
    const start = this.#extraStart();
    if (prefix !== undefined) this.#bytes.set(prefix, start);
    this.#bytes.write(text, start + (prefix?.length ?? 0), 'latin1');
  }

  xattrs(xattrs: readonly Xattr[]): void {
    let at = this.#extraStart();
    for (const { name, value } of xattrs) {
      this.#bytes.writeUInt32LE(name.length, at);
      this.#bytes.writeUInt32LE(value.length, at + 4);
      this.#bytes.write(name, at + 8, 'latin1');
      value.copy(this.#bytes, at + 8 + name.length);
      at += 8 + name.length + value.length;
    }
  }

  /** Appends as much of `[from, end)` of `chunk` as there is room for; how much that was. */
  append(chunk: Buffer, from: number, end: number): number {
    const word = this.#record >> 2;
    const data = this.#words[word + FIELD.data] as number;
    const start = this.#record + this.#headBytes(word) + data;
    const part = Math.min(end - from, this.memory.byteLength - start);
    chunk.copy(this.#bytes, start, from, from + part);
    this.#words[word + FIELD.data] = data + part;
    this.#end = aligned(start + part);
    this.#words[word + FIELD.length] = this.#end - this.#record;
    return part;
  }

  /** Where the content of the record in progress ends in its file; -1 where there is none yet. */
  get contentEnd(): number {
    if (this.entries === 0) return -1;
    return (this.#floats[(this.#record >> 3) + FLOAT.position] as number) + (this.#words[(this.#record >> 2) + FIELD.data] as number);
  }

  addFlags(flags: number): void {
    const word = (this.#record >> 2) + FIELD.flags;
    this.#words[word] = (this.#words[word] as number) | flags;
  }

  #headBytes(word: number): number {
    return recordBytes(this.#words[word + FIELD.path] as number, this.#words[word + FIELD.extra] as number);
  }

  #extraStart(): number {
    return this.#record + FIXED_BYTES + (this.#words[(this.#record >> 2) + FIELD.path] as number) + 1;
  }
}

/** Walks the records of a batch, on the thread that carries them out. */
export class BatchReader {
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;
  readonly #end: number;
  #record = 0;
  #next = 0;

  constructor(memory: ArrayBuffer, length: number) {
    this.#bytes = Buffer.from(memory);
    this.#words = new Uint32Array(memory);
    this.#floats = new Float64Array(memory);
    this.#end = length;
  }

  next(): boolean {
    if (this.#next >= this.#end) return false;
    this.#record = this.#next;
    this.#next += this.#word(FIELD.length);
    return true;
  }

  get operation(): number {
    return this.#word(FIELD.operation);
  }
  get flags(): number {
    return this.#word(FIELD.flags);
  }
  get mode(): number {
    return this.#word(FIELD.mode);
  }
  get uid(): number {
    return this.#word(FIELD.uid);
  }
  get gid(): number {
    return this.#word(FIELD.gid);
  }
  get major(): number {
    return this.#word(FIELD.major);
  }
  get minor(): number {
    return this.#word(FIELD.minor);
  }
  get modified(): Timestamp {
    return readTime(this.#words, (this.#record >> 2) + FIELD.modified);
  }
  get accessed(): Timestamp {
    return readTime(this.#words, (this.#record >> 2) + FIELD.accessed);
  }
  /** Where in {@link bytes} the times lie, as futimens(2) takes them. */
  get timesStart(): number {
    return this.#record + 4 * FIELD.accessed;
  }
  get position(): number {
    return this.#float(FLOAT.position);
  }
  get size(): number {
    return this.#float(FLOAT.size);
  }

  /** Where in {@link bytes} the path begins; a NUL follows it. */
  get pathStart(): number {
    return this.#record + FIXED_BYTES;
  }

  get path(): Buffer {
    const start = this.#record + FIXED_BYTES;
    return this.#bytes.subarray(start, start + this.#word(FIELD.path));
  }

  get text(): Buffer {
    const start = this.#record + FIXED_BYTES + this.#word(FIELD.path) + 1;
    return this.#bytes.subarray(start, start + this.#word(FIELD.extra));
  }

  /** All of the batch's bytes; content lies at {@link dataStart}. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get dataStart(): number {
    return this.#record + recordBytes(this.#word(FIELD.path), this.#word(FIELD.extra));
  }

  get dataBytes(): number {
    return this.#word(FIELD.data);
  }

  /** Copies: they are used after the batch's memory has gone back. */
  get xattrs(): Xattr[] {
    const extra = this.text;
    const xattrs: Xattr[] = [];
    for (let at = 0; at < extra.length; ) {
      const name = at + 8;
      const value = name + extra.readUInt32LE(at);
      const end = value + extra.readUInt32LE(at + 4);
      xattrs.push({ name: byteStringOf(extra, name, value), value: Buffer.from(extra.subarray(value, end)) });
      at = end;
    }
    return xattrs;
  }

  #word(field: number): number {
    return this.#words[(this.#record >> 2) + field] as number;
  }
  #float(field: number): number {
    return this.#floats[(this.#record >> 3) + field] as number;
  }
}

function writeTime(words: Uint32Array, at: number, { seconds, nanoseconds }: Timestamp): void {
  // Storing takes numbers modulo 2^32, so negative ones come out in two's complement.
  words[at] = seconds;
  words[at + 1] = Math.floor(seconds / 2 ** 32);
  words[at + 2] = nanoseconds;
  words[at + 3] = 0;
}

function readTime(words: Uint32Array, at: number): Timestamp {
  return { seconds: ((words[at + 1] as number) | 0) * 2 ** 32 + (words[at] as number), nanoseconds: words[at + 2] as number };
}

function aligned(bytes: number): number {
  return (bytes + 7) & ~7;
}
