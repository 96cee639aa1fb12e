import { LIMITS } from '../../limits.ts';
import { byteStringOf, type ByteString } from './byte-string.ts';
import { BLOCK_BYTES, readNumber } from './header.ts';
import { layerError, type LayerPlace } from './layer-error.ts';
import { readDecimal, type PaxRecord } from './pax.ts';
import type { Extent } from './tar-entry.ts';

/** A sparse file: its size with holes, and where its stored bytes belong. */
export interface SparseMap {
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** What GNU.sparse.* records give: a map (formats 0.0 and 0.1), or that the map begins the content (1.0). */
export interface PaxSparse {
  readonly path: ByteString | undefined;
  readonly size: number;
  /** undefined for format 1.0. */
  readonly extents: readonly Extent[] | undefined;
}

/** Reads GNU.sparse.* records; undefined where they describe no sparse file. GNU tar manual, "Storing Sparse Files". */
export function readPaxSparse(records: readonly PaxRecord[], place: LayerPlace): PaxSparse | undefined {
  const last = (key: string): Buffer | undefined => records.findLast((record) => record.key === key)?.value;
  const name = last('name');
  const path = name === undefined || name.length === 0 ? undefined : byteStringOf(name);
  if (path?.includes('\0') === true) throw layerError('LAYER_INVALID', 'the PAX record GNU.sparse.name holds a NUL', place);
  const major = last('major');
  if (major !== undefined && readDecimal(major, 'GNU.sparse.major', place) > 0) {
    const minor = last('minor');
    if (readDecimal(major, 'GNU.sparse.major', place) !== 1 || (minor !== undefined && readDecimal(minor, 'GNU.sparse.minor', place) !== 0))
      throw layerError('LAYER_INVALID', 'an unknown version of GNU sparse files; 0.0, 0.1 and 1.0 are known', place);
    const size = last('realsize');
    if (size === undefined) throw layerError('LAYER_INVALID', 'a sparse file without GNU.sparse.realsize', place);
    return { path, size: readDecimal(size, 'GNU.sparse.realsize', place), extents: undefined };
  }
  const map = last('map');
  const pairs =
    map === undefined
      ? pairsOfFormat00(records)
      : byteStringOf(map)
          .split(',')
          .filter((number) => number !== '');
  const size = last('size') ?? last('realsize');
  if (size === undefined) {
    if (pairs.length === 0) return undefined;
    throw layerError('LAYER_INVALID', 'a sparse file without GNU.sparse.size', place);
  }
  const extents = extentsOf(
    pairs.map((number) => readDecimal(number, 'GNU.sparse.map', place)),
    place,
  );
  const count = last('numblocks');
  if (count !== undefined && readDecimal(count, 'GNU.sparse.numblocks', place) !== pairs.length / 2)
    throw layerError('LAYER_INVALID', 'GNU.sparse.numblocks differs from the number of extents', place);
  return { path, size: readDecimal(size, 'GNU.sparse.size', place), extents };
}

/** The map that begins the content in format 1.0: decimal lines, a count and then pairs, padded to whole blocks. Takes it block by block. */
export class SparseMapReader {
  readonly #place: LayerPlace;
  readonly #numbers: number[] = [];
  #rest = '';
  #bytes = 0;

  constructor(place: LayerPlace) {
    this.#place = place;
  }

  /** Takes one block of 512 bytes; the extents once they are complete. Fails with LAYER_INVALID, LIMIT_EXCEEDED. */
  add(block: Buffer): Extent[] | undefined {
    this.#bytes += block.length;
    checkMapBytes(this.#bytes, this.#place);
    const lines = (this.#rest + byteStringOf(block)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      this.#numbers.push(readDecimal(line, 'the sparse map', this.#place));
      const count = this.#numbers[0] as number;
      if (this.#numbers.length === 1 + 2 * count) return extentsOf(this.#numbers.slice(1), this.#place);
    }
    if (this.#rest.length > 20) throw layerError('LAYER_INVALID', 'the sparse map holds no number', this.#place);
    return undefined;
  }
}

/** The old GNU format (type 'S'): four extents in the header, more in blocks behind it. */
export class OldSparseReader {
  readonly #place: LayerPlace;
  readonly #numbers: number[] = [];
  #bytes = 0;
  readonly size: number;
  /** Whether another block of extents follows. */
  extended: boolean;

  constructor(header: Buffer, start: number, place: LayerPlace) {
    this.#place = place;
    this.size = readNumber(header, start + 483, 12, 'realsize', place);
    this.extended = header[start + 482] !== 0;
    this.#addEntries(header, start + 386, 4);
  }

  /** Takes one extension block: 21 extents. */
  add(block: Buffer, start: number): void {
    this.#bytes += BLOCK_BYTES;
    checkMapBytes(this.#bytes, this.#place);
    this.#addEntries(block, start, 21);
    this.extended = block[start + 504] !== 0;
  }

  finish(): Extent[] {
    return extentsOf(this.#numbers, this.#place);
  }

  #addEntries(block: Buffer, start: number, count: number): void {
    for (let at = start; at < start + count * 24; at += 24) {
      if (block[at] === 0 && block[at + 12] === 0) return;
      this.#numbers.push(readNumber(block, at, 12, 'sparse offset', this.#place), readNumber(block, at + 12, 12, 'sparse length', this.#place));
    }
  }
}

/** Fails with LAYER_INVALID unless the extents lie within the file, and hold exactly the bytes that the archive stores. */
export function checkSparseMap({ size, extents }: SparseMap, storedBytes: number, place: LayerPlace): void {
  const last = extents.at(-1);
  const stored = extents.reduce((sum, extent) => sum + extent.length, 0);
  if ((last !== undefined && last.offset + last.length > size) || stored !== storedBytes)
    throw layerError('LAYER_INVALID', 'the sparse map does not match the size of the file', place, { size, stored, storedBytes });
}

function checkMapBytes(bytes: number, place: LayerPlace): void {
  if (bytes > LIMITS.tarHeaderBytes)
    throw layerError('LIMIT_EXCEEDED', `the sparse map takes more than ${LIMITS.tarHeaderBytes} bytes`, place, { limit: LIMITS.tarHeaderBytes });
}

/** Format 0.0 repeats the records offset and numbytes. */
function pairsOfFormat00(records: readonly PaxRecord[]): ByteString[] {
  return records.filter(({ key }) => key === 'offset' || key === 'numbytes').map(({ value }) => byteStringOf(value));
}

/** Pairs of offset and length, ascending and apart; those without length only mark the end of the file and are left out. */
function extentsOf(numbers: readonly number[], place: LayerPlace): Extent[] {
  const extents: Extent[] = [];
  let end = 0;
  if (numbers.length % 2 !== 0) throw layerError('LAYER_INVALID', 'the sparse map ends in the middle of an extent', place);
  for (let at = 0; at < numbers.length; at += 2) {
    const [offset, length] = [numbers[at] as number, numbers[at + 1] as number];
    if (offset < end || length < 0 || !Number.isSafeInteger(offset + length))
      throw layerError('LAYER_INVALID', 'the sparse map is not in ascending order', place);
    if (length > 0) extents.push({ offset, length });
    end = offset + length;
  }
  return extents;
}
