/** One entry as the tests ask for it; what is left out has a harmless value. Names are text (UTF-8) or bytes. */
export interface EntrySpec {
  readonly name: string | Buffer;
  /** The type flag, one character; '0' by default. */
  readonly type?: string;
  readonly content?: Buffer | string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly linkName?: string | Buffer;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly prefix?: string;
  readonly magic?: 'ustar' | 'gnu' | 'v7' | 'star';
  /** Records of a PAX header before the entry. */
  readonly pax?: ReadonlyArray<readonly [key: string, value: string | Buffer]>;
  /** Says another size than the content has. */
  readonly size?: number;
  /** Bytes put into the finished header, before the checksum. */
  readonly patch?: ReadonlyArray<readonly [offset: number, bytes: string | Buffer]>;
  readonly checksum?: 'unsigned' | 'signed' | 'wrong';
}

export const BLOCK = 512;

/** An archive of these entries, with the two blocks of zeros at its end. */
export function tarOf(...entries: readonly EntrySpec[]): Buffer {
  return Buffer.concat([...entries.map(entryBytes), Buffer.alloc(2 * BLOCK)]);
}

/** An entry with its PAX header, content and padding. */
export function entryBytes(spec: EntrySpec): Buffer {
  const content = bytes(spec.content ?? '');
  const own = [headerBytes({ ...spec, size: spec.size ?? content.length }), content, paddingOf(content)];
  if (spec.pax === undefined) return Buffer.concat(own);
  return Buffer.concat([extensionBytes('x', paxPayload(spec.pax)), ...own]);
}

/** A header of type x, g, L or K with its payload. */
export function extensionBytes(type: string, payload: Buffer): Buffer {
  return Buffer.concat([headerBytes({ name: '././@Header', type, size: payload.length }), payload, paddingOf(payload)]);
}

export function paxPayload(records: ReadonlyArray<readonly [key: string, value: string | Buffer]>): Buffer {
  return Buffer.concat(
    records.map(([key, value]) => {
      const rest = Buffer.concat([bytes(` ${key}=`), bytes(value), bytes('\n')]);
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return Buffer.concat([bytes(String(length)), rest]);
    }),
  );
}

export function headerBytes(spec: EntrySpec): Buffer {
  const block = Buffer.alloc(BLOCK);
  const { magic = 'ustar' } = spec;
  bytes(spec.name).copy(block, 0, 0, 100);
  putNumber(block, 100, 8, spec.mode ?? 0o644);
  putNumber(block, 108, 8, spec.uid ?? 0);
  putNumber(block, 116, 8, spec.gid ?? 0);
  putNumber(block, 124, 12, spec.size ?? 0);
  putNumber(block, 136, 12, spec.mtime ?? 1_700_000_000);
  block.write(spec.type ?? '0', 156, 'latin1');
  bytes(spec.linkName ?? '').copy(block, 157, 0, 100);
  if (magic === 'ustar' || magic === 'star') block.write('ustar\x0000', 257, 'latin1');
  if (magic === 'gnu') block.write('ustar  \0', 257, 'latin1');
  if (magic === 'star') block.write('tar\0', 508, 'latin1');
  if (magic !== 'v7') {
    putNumber(block, 329, 8, spec.devMajor ?? 0);
    putNumber(block, 337, 8, spec.devMinor ?? 0);
  }
  bytes(spec.prefix ?? '').copy(block, 345, 0, 155);
  for (const [offset, patch] of spec.patch ?? []) bytes(patch).copy(block, offset);
  putChecksum(block, spec.checksum ?? 'unsigned');
  return block;
}

/** Octal where it fits, else base-256 as GNU tar has it. */
function putNumber(block: Buffer, start: number, length: number, value: number): void {
  const octal = value < 0 ? '' : value.toString(8);
  if (value >= 0 && octal.length < length) {
    block.write(octal.padStart(length - 1, '0'), start, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let at = start + length - 1; at >= start; at -= 1) {
    block[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[start] = value < 0 ? 0xff : (block[start] ?? 0) | 0x80;
}

function putChecksum(block: Buffer, kind: 'unsigned' | 'signed' | 'wrong'): void {
  block.fill(' ', 148, 156);
  let sum = 0;
  for (let at = 0; at < BLOCK; at += 1) sum += kind === 'signed' ? block.readInt8(at) : (block[at] ?? 0);
  if (kind === 'wrong') sum += 1;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

export function paddingOf(content: Buffer): Buffer {
  return Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
}

function bytes(value: string | Buffer): Buffer {
  return typeof value === 'string' ? Buffer.from(value) : value;
}
