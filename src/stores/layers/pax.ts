import { byteStringOf, type ByteString } from './byte-string.ts';
import { layerError, type LayerPlace } from './layer-error.ts';
import type { Timestamp, Xattr } from './tar-entry.ts';

/** One record of a PAX extended header: `<length> <key>=<value>\n`. */
export interface PaxRecord {
  readonly key: ByteString;
  readonly value: Buffer;
}

/** What PAX records say about an entry; undefined where the header's own field holds. */
export interface PaxFields {
  path?: ByteString;
  linkPath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  modified?: Timestamp;
  accessed?: Timestamp;
  readonly xattrs: Xattr[];
  /** GNU.sparse.* in order: format 0.0 repeats keys. */
  readonly sparse: PaxRecord[];
}

/**
 * Splits the payload of an extended header. A record ends where its length says: a value may hold newlines, '=' and NULs. Fails with
 * LAYER_INVALID. POSIX.1-2017, pax, "pax Extended Header".
 */
export function readPaxRecords(payload: Buffer, place: LayerPlace): PaxRecord[] {
  const records: PaxRecord[] = [];
  let start = 0;
  while (start < payload.length) {
    let at = start;
    let length = 0;
    for (; at < payload.length && at < start + LENGTH_DIGITS; at += 1) {
      const digit = (payload[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      length = length * 10 + digit;
    }
    const end = start + length;
    const equals = payload.indexOf(EQUALS, at);
    if (
      at === start ||
      payload[at] !== SPACE ||
      end > payload.length ||
      payload[end - 1] !== NEWLINE ||
      equals < 0 ||
      equals >= end ||
      equals === at + 1
    )
      throw layerError('LAYER_INVALID', `a malformed record at byte ${start} of a PAX header`, place);
    records.push({ key: byteStringOf(payload, at + 1, equals), value: payload.subarray(equals + 1, end - 1) });
    start = end;
  }
  return records;
}

/**
 * Applies `global` records, then those of the entry's own header. An empty value takes an earlier record back, except in an extended
 * attribute, where it is a value. Unknown keys are passed over, as POSIX asks. Fails with LAYER_INVALID for values that are none.
 */
export function applyPaxRecords(global: readonly PaxRecord[], own: readonly PaxRecord[], place: LayerPlace): PaxFields {
  const fields: PaxFields = { xattrs: [], sparse: [] };
  for (const record of global) applyRecord(fields, record, place);
  for (const record of own) applyRecord(fields, record, place);
  return fields;
}

/** Decimal digits only. Fails with LAYER_INVALID, also past what a double holds exactly. */
export function readDecimal(value: Buffer | ByteString, field: string, place: LayerPlace): number {
  const text = typeof value === 'string' ? value : byteStringOf(value);
  const number = /^[0-9]{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw layerError('LAYER_INVALID', `${field} is no number, or too large`, place, { field });
  return number;
}

const XATTR = 'SCHILY.xattr.';
const SPARSE = 'GNU.sparse.';
const LENGTH_DIGITS = 10;
const ZERO = 0x30;
const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

function applyRecord(fields: PaxFields, { key, value }: PaxRecord, place: LayerPlace): void {
  if (key.startsWith(XATTR)) return setXattr(fields.xattrs, decodeKey(key.slice(XATTR.length)), value, place);
  if (key.startsWith(SPARSE)) {
    fields.sparse.push({ key: key.slice(SPARSE.length), value });
    return;
  }
  const empty = value.length === 0;
  switch (key) {
    case 'path':
      return put(fields, 'path', empty ? undefined : readPath(value, key, place));
    case 'linkpath':
      return put(fields, 'linkPath', empty ? undefined : readPath(value, key, place));
    case 'size':
      return put(fields, 'size', empty ? undefined : readDecimal(value, key, place));
    case 'uid':
      return put(fields, 'uid', empty ? undefined : readDecimal(value, key, place));
    case 'gid':
      return put(fields, 'gid', empty ? undefined : readDecimal(value, key, place));
    case 'mtime':
      return put(fields, 'modified', empty ? undefined : readTime(value, key, place));
    case 'atime':
      return put(fields, 'accessed', empty ? undefined : readTime(value, key, place));
    default:
      return undefined;
  }
}

function put<K extends keyof PaxFields>(fields: PaxFields, key: K, value: PaxFields[K] | undefined): void {
  if (value === undefined) delete fields[key];
  else fields[key] = value;
}

function readPath(value: Buffer, key: string, place: LayerPlace): ByteString {
  if (value.includes(0)) throw layerError('LAYER_INVALID', `the PAX record ${key} holds a NUL`, place, { field: key });
  return byteStringOf(value);
}

function setXattr(xattrs: Xattr[], name: ByteString, value: Buffer, place: LayerPlace): void {
  if (name === '' || name.includes('\0')) throw layerError('LAYER_INVALID', 'an extended attribute without a proper name', place);
  // The payload's memory may be used again for the next header.
  const xattr = { name, value: Buffer.from(value) };
  const index = xattrs.findIndex((other) => other.name === name);
  if (index < 0) xattrs.push(xattr);
  else xattrs[index] = xattr;
}

/** GNU tar writes '=' and '%' in the name of an attribute as %3D and %25. */
function decodeKey(name: ByteString): ByteString {
  return name.includes('%') ? name.replace(/%(25|3D)/g, (_, code: string) => (code === '25' ? '%' : '=')) : name;
}

/** Seconds with any number of decimals; what lies below a nanosecond is cut off, towards the past as the kernel does. */
function readTime(value: Buffer, key: string, place: LayerPlace): Timestamp {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(byteStringOf(value));
  if (match === null) throw layerError('LAYER_INVALID', `the PAX record ${key} is no time`, place, { field: key });
  const [, sign, whole = '', decimals = ''] = match;
  const seconds = Number(whole);
  const nanoseconds = Number(decimals.slice(0, 9).padEnd(9, '0'));
  if (sign === '') return { seconds, nanoseconds };
  const rounded = /[1-9]/.test(decimals.slice(9)) ? nanoseconds + 1 : nanoseconds;
  if (rounded === 0) return { seconds: 0 - seconds, nanoseconds: 0 };
  return rounded === 1_000_000_000 ? { seconds: -seconds - 1, nanoseconds: 0 } : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - rounded };
}
