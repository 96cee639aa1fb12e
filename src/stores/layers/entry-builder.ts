import { LIMITS } from '../../limits.ts';
import { readText, type TarHeader } from './header.ts';
import type { ByteString } from './byte-string.ts';
import { layerError, type LayerPlace } from './layer-error.ts';
import { applyPaxRecords, readPaxRecords, type PaxFields, type PaxRecord } from './pax.ts';
import { checkSparseMap, readPaxSparse } from './sparse.ts';
import type { Extent, TarEntry, TarEntryKind } from './tar-entry.ts';

/** A sparse map from elsewhere than PAX records: what the content begins with, or the old GNU format. */
interface FoundSparse {
  readonly size?: number;
  readonly extents: readonly Extent[];
  /** Bytes of content behind the map. */
  readonly stored: number;
}

/** Gathers the extension headers of one entry, and makes the entry of its own header. Global PAX records stay for the entries that follow. */
export class EntryBuilder {
  #begun = false;
  #offset = 0;
  #extensionBytes = 0;
  #global: readonly PaxRecord[] = [];
  #own: PaxRecord[] | undefined;
  #fields: PaxFields | undefined;
  #longName: ByteString | undefined;
  #longLink: ByteString | undefined;

  /** Whether headers of an entry were read, but not yet its own. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Offset in the archive of the entry's first header. */
  get offset(): number {
    return this.#offset;
  }

  /** A header begins at `offset`, the entry's first or a further one. */
  begin(offset: number): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#offset = offset;
  }

  /** Fails with LIMIT_EXCEEDED before the payload of an extension header is read, LAYER_INVALID for a negative size. */
  countExtension(bytes: number): void {
    if (bytes < 0) throw layerError('LAYER_INVALID', 'an extension header has a negative size', this.#place());
    this.#extensionBytes += bytes;
    if (this.#extensionBytes > LIMITS.tarHeaderBytes)
      throw layerError('LIMIT_EXCEEDED', `the entry's extension headers take more than ${LIMITS.tarHeaderBytes} bytes`, this.#place(), {
        limit: LIMITS.tarHeaderBytes,
      });
  }

  /** Takes the payload of an extension header of type x, X, g, K or L. */
  extend(type: number, payload: Buffer): void {
    const letter = String.fromCharCode(type);
    if (letter === 'L') this.#longName = readText(payload, 0, payload.length);
    else if (letter === 'K') this.#longLink = readText(payload, 0, payload.length);
    else if (letter === 'g') this.#extendGlobal(payload);
    else this.#own = [...(this.#own ?? []), ...readPaxRecords(payload, this.#place())];
    this.#fields = undefined;
    // A global header may stand alone, at the end of the archive too.
    if (this.#own === undefined && this.#longName === undefined && this.#longLink === undefined) this.#reset();
  }

  /** Whether the entry's content begins with a map (GNU.sparse 1.0). */
  hasSparseMap(header: TarHeader): boolean {
    const fields = this.#paxFields();
    if (fields === undefined || fields.sparse.length === 0 || !isRegular(header.type)) return false;
    const sparse = readPaxSparse(fields.sparse, this.#place());
    return sparse !== undefined && sparse.extents === undefined;
  }

  /** Bytes of content in the archive. Only regular files have any: in links, directories and devices the size means nothing. */
  storedBytes(header: TarHeader): number {
    if (!isRegular(header.type)) return 0;
    const stored = this.#paxFields()?.size ?? header.size;
    if (stored < 0 || stored > LIMITS.layerBytes) throw layerError('LAYER_INVALID', `an impossible size, ${stored} bytes`, this.#place(header));
    return stored;
  }

  /** The entry, complete; the builder is ready for the next one. Fails with LAYER_INVALID. */
  build(header: TarHeader, found: FoundSparse | undefined): TarEntry {
    const fields = this.#paxFields();
    const place = this.#place(header);
    const sparse = fields === undefined || fields.sparse.length === 0 || !isRegular(header.type) ? undefined : readPaxSparse(fields.sparse, place);
    const path = sparse?.path ?? fields?.path ?? this.#longName ?? header.name;
    const kind = kindOf(header.type, path, place);
    const stored = found?.stored ?? this.storedBytes(header);
    const extents = found?.extents ?? sparse?.extents;
    const size = kind === 'file' ? (found?.size ?? sparse?.size ?? stored) : 0;
    if (extents !== undefined) checkSparseMap({ size, extents }, stored, place);
    if (kind === 'directory' && stored > 0) throw layerError('LAYER_INVALID', 'a directory with content', place);
    const entry: TarEntry = {
      kind,
      path,
      linkPath: kind === 'symlink' || kind === 'hardlink' ? (fields?.linkPath ?? this.#longLink ?? header.linkName) : '',
      mode: header.mode,
      uid: checkId(fields?.uid ?? header.uid, 'uid', place),
      gid: checkId(fields?.gid ?? header.gid, 'gid', place),
      size,
      stored,
      modified: fields?.modified ?? { seconds: header.modifiedSeconds, nanoseconds: 0 },
      accessed: fields?.accessed,
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs: fields?.xattrs ?? NO_XATTRS,
      extents,
      offset: this.#offset,
    };
    this.#reset();
    return entry;
  }

  #place(header?: TarHeader): LayerPlace {
    return { offset: this.#offset, entry: this.#fields?.path ?? this.#longName ?? header?.name };
  }

  #paxFields(): PaxFields | undefined {
    if (this.#own === undefined && this.#global.length === 0) return undefined;
    this.#fields ??= applyPaxRecords(this.#global, this.#own ?? [], this.#place());
    return this.#fields;
  }

  /** Records of one key replace those before; a sparse map can't be global. The memory of the chunk is not held. */
  #extendGlobal(payload: Buffer): void {
    const records = new Map(this.#global.map((record) => [record.key, record]));
    for (const record of readPaxRecords(Buffer.from(payload), this.#place())) {
      if (record.value.length === 0 && !record.key.startsWith('SCHILY.xattr.')) records.delete(record.key);
      else if (!record.key.startsWith('GNU.sparse.')) records.set(record.key, record);
    }
    this.#global = [...records.values()];
    const bytes = this.#global.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    if (bytes > LIMITS.tarHeaderBytes)
      throw layerError('LIMIT_EXCEEDED', `the global PAX headers take more than ${LIMITS.tarHeaderBytes} bytes`, this.#place(), {
        limit: LIMITS.tarHeaderBytes,
      });
  }

  #reset(): void {
    this.#begun = false;
    this.#extensionBytes = 0;
    this.#own = undefined;
    this.#fields = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
  }
}

const NO_XATTRS: TarEntry['xattrs'] = [];

/** chown(2) takes the largest number for "leave it", so it is no id. */
const LARGEST_ID = 0xffff_fffe;

/** '0', NUL (v7), '7' (contiguous), 'S' (old GNU sparse). */
function isRegular(type: number): boolean {
  return type === 0x30 || type === 0 || type === 0x37 || type === 0x53;
}

function kindOf(type: number, path: ByteString, place: LayerPlace): TarEntryKind {
  // v7 has no type for directories but a slash at the end, and GNU tar reads every regular file so.
  if (isRegular(type)) return path.endsWith('/') ? 'directory' : 'file';
  const kind = KINDS[type - 0x31];
  if (kind !== undefined) return kind;
  throw layerError('LAYER_INVALID', `an entry of unknown type ${JSON.stringify(String.fromCharCode(type))}`, place, { type });
}

/** By type flag, '1' to '6'. */
const KINDS: readonly TarEntryKind[] = ['hardlink', 'symlink', 'character', 'block', 'directory', 'fifo'];

function checkId(id: number, field: string, place: LayerPlace): number {
  if (id < 0 || id > LARGEST_ID) throw layerError('LAYER_INVALID', `the ${field} ${id} is out of range`, place, { field });
  return id;
}
