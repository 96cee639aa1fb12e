import { byteStringOf, type ByteString } from './byte-string.ts';
import { layerError, type LayerPlace } from './layer-error.ts';

/** Headers and the padding of contents come in blocks of this many bytes. */
export const BLOCK_BYTES = 512;

/** The fields of one header block, before any extension header is applied. */
export interface TarHeader {
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow in the archive. */
  readonly size: number;
  readonly modifiedSeconds: number;
  /** The type flag as a character code. */
  readonly type: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/**
 * Reads the header block at `start` of `buffer`: v7, ustar (POSIX.1-1988), GNU and star. Fails with LAYER_INVALID where the checksum is
 * wrong, signed or unsigned, or a number is none. A block of zeros gives undefined.
 */
export function readHeader(buffer: Buffer, start: number, offset: number): TarHeader | undefined {
  const place = { offset };
  if (!verifyChecksum(buffer, start, place)) return undefined;
  const posix = buffer[start + 257] === 0x75 && buffer.toString('latin1', start + 257, start + 262) === 'ustar';
  const gnu = posix && buffer[start + 262] === 0x20;
  const devices = posix && (buffer[start + 329] !== 0 || buffer[start + 337] !== 0);
  return {
    name: readName(buffer, start, posix && !gnu),
    linkName: buffer[start + 157] === 0 ? '' : readText(buffer, start + 157, 100),
    mode: readNumber(buffer, start + 100, 8, 'mode', place) & 0o7777,
    uid: readNumber(buffer, start + 108, 8, 'uid', place),
    gid: readNumber(buffer, start + 116, 8, 'gid', place),
    size: readNumber(buffer, start + 124, 12, 'size', place),
    modifiedSeconds: readNumber(buffer, start + 136, 12, 'mtime', place),
    type: buffer[start + 156] as number,
    deviceMajor: devices ? readNumber(buffer, start + 329, 8, 'devmajor', place) : 0,
    deviceMinor: devices ? readNumber(buffer, start + 337, 8, 'devminor', place) : 0,
  };
}

/**
 * A number field: octal digits amid spaces and NULs, or with the first bit set a big-endian two's complement of the remaining bits (GNU
 * base-256). An empty field is 0. Fails with LAYER_INVALID for anything else and for what a double can't hold exactly.
 */
export function readNumber(buffer: Buffer, start: number, length: number, field: string, place: LayerPlace): number {
  const first = buffer[start] as number;
  if (first >= 0x80) return readBase256(buffer, start, length, field, place);
  const end = start + length;
  let at = start;
  while (at < end && (buffer[at] === SPACE || buffer[at] === 0)) at += 1;
  let value = 0;
  for (; at < end; at += 1) {
    const digit = (buffer[at] as number) - ZERO;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; at < end; at += 1) {
    const byte = buffer[at] as number;
    if (byte === 0) break;
    if (byte !== SPACE) throw layerError('LAYER_INVALID', `the field ${field} is no octal number`, place, { field });
  }
  return value;
}

/** NUL-terminated text, or as long as the field. */
export function readText(buffer: Buffer, start: number, length: number): ByteString {
  const limit = start + length;
  let end = start;
  while (end < limit && buffer[end] !== 0) end += 1;
  return byteStringOf(buffer, start, end);
}

const SPACE = 0x20;
const ZERO = 0x30;

function readName(buffer: Buffer, start: number, mayHavePrefix: boolean): ByteString {
  const name = readText(buffer, start, 100);
  if (!mayHavePrefix || buffer[start + 345] === 0) return name;
  // star keeps times behind a shorter prefix, and says so with a trailer.
  const star = buffer[start + 508] === 0x74 && buffer.toString('latin1', start + 508, start + 512) === 'tar\0';
  return `${readText(buffer, start + 345, star ? 131 : 155)}/${name}`;
}

/** Two's complement by steps of 24 bits, exact as long as the number is one that a double holds. */
function readBase256(buffer: Buffer, start: number, length: number, field: string, place: LayerPlace): number {
  const first = buffer[start] as number;
  const negative = (first & 0x40) !== 0;
  let value = negative ? -1 : 0;
  for (let at = start; at < start + length; at += 1) {
    const byte = at === start ? (first & 0x7f) | (negative ? 0x80 : 0) : (buffer[at] as number);
    value = value * 256 + byte;
    // For the first byte the sign is already in: -1 * 256 + 0xff is -1 again.
    if (!Number.isSafeInteger(value)) throw layerError('LAYER_INVALID', `the field ${field} is too large`, place, { field });
  }
  return value;
}

/**
 * False for a block of zeros. The checksum runs over all bytes with its own eight taken as spaces; some old archivers summed signed
 * characters.
 */
function verifyChecksum(buffer: Buffer, start: number, place: LayerPlace): boolean {
  let sum = sumOfBlock(buffer, start);
  if (sum === 0) return false;
  for (let at = start + 148; at < start + 156; at += 1) sum += SPACE - (buffer[at] as number);
  const stored = readNumber(buffer, start + 148, 8, 'checksum', place);
  if (stored === sum) return true;
  let signed = 8 * SPACE;
  for (let at = start; at < start + BLOCK_BYTES; at += 1) if (at < start + 148 || at >= start + 156) signed += buffer.readInt8(at);
  if (stored === signed) return true;
  const details = { expected: stored, found: sum };
  throw layerError(
    'LAYER_INVALID',
    `the header's checksum is ${sum} where ${stored} is stored; this is no tar archive, or a damaged one`,
    place,
    details,
  );
}

/** The sum of 512 bytes. Where memory is aligned four are added at a time, in two lanes of 16 bits that 128 words can't overflow. */
function sumOfBlock(buffer: Buffer, start: number): number {
  const address = start + buffer.byteOffset;
  let sum = 0;
  if ((address & 3) !== 0) {
    for (let at = start, end = start + BLOCK_BYTES; at < end; at += 1) sum += buffer[at] as number;
    return sum;
  }
  const words = wordsOf(buffer);
  for (let index = address >> 2, end = index + BLOCK_BYTES / 4; index < end; index += 1) {
    const word = words[index] as number;
    sum = (sum + (word & 0x00ff00ff) + ((word >>> 8) & 0x00ff00ff)) | 0;
  }
  return (sum & 0xffff) + (sum >>> 16);
}

/** The words of a buffer's whole memory; the last view is kept, since headers come many to a buffer. */
function wordsOf(buffer: Buffer): Uint32Array {
  if (lastMemory !== buffer.buffer) {
    lastMemory = buffer.buffer;
    lastWords = new Uint32Array(buffer.buffer, 0, buffer.buffer.byteLength >> 2);
  }
  return lastWords;
}

let lastMemory: ArrayBufferLike | undefined;
let lastWords: Uint32Array = new Uint32Array(0);
