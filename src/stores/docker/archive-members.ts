import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { posix } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isRootwrightError, RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { BLOCK_BYTES, readHeader } from '../layers/header.ts';
import { applyPaxRecords, readPaxRecords, type PaxRecord } from '../layers/pax.ts';
import type { FileRegion } from './digest.ts';
import { asIoError } from './failures.ts';
import { invalidImage } from './manifest.ts';

/**
 * The members of a tar archive by name, and where in the file each one's content lies, so that a layer inside is unpacked from there
 * without a copy. Nothing of the archive is ever written to a path that it names: names are looked up in memory only.
 */
export class ArchiveMembers {
  /** The archive file. */
  readonly path: string;
  readonly #members: ReadonlyMap<string, Member>;

  constructor(path: string, members: ReadonlyMap<string, Member>) {
    this.path = path;
    this.#members = members;
  }

  has(name: string): boolean {
    return this.#members.has(plainName(name) ?? '');
  }

  /**
   * The content of the file `name`, through symlinks and hard links to other members (docker save links a layer that it has written
   * before); undefined where there is none. Fails with IMAGE_INVALID for a name or a link that leaves the archive or leads in a circle.
   */
  find(name: string): FileRegion | undefined {
    let current = name;
    for (let links = 0; links <= LINKS; links += 1) {
      const plain = plainName(current);
      if (plain === undefined) throw invalidImage(this.path, name, 'this path leads out of the archive');
      const member = this.#members.get(plain);
      if (member === undefined) return undefined;
      if ('size' in member) return { path: this.path, offset: member.offset, size: member.size };
      current = member.link;
    }
    throw invalidImage(this.path, name, `more than ${LINKS} links lead on from one another`);
  }
}

type Member = { readonly offset: number; readonly size: number } | { readonly link: string };

/** Reads all headers of the tar archive `path`, in one pass. Fails with IMAGE_INVALID, LIMIT_EXCEEDED, IO_ERROR, ABORTED. */
export async function readArchiveMembers(path: string, signal?: AbortSignal): Promise<ArchiveMembers> {
  try {
    const file = openSync(path, 'r');
    try {
      return new ArchiveMembers(path, await readMembers({ path, file, size: fstatSync(file).size }, signal));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isRootwrightError(error) && error.code === 'LAYER_INVALID')
      throw new RootwrightError('IMAGE_INVALID', `${path}: ${error.message.replace("the layer's tar archive, ", '')}`, {
        cause: error,
        details: { path },
      });
    throw asIoError(error, `cannot read ${path}`);
  }
}

const LINKS = 8;
const MEMBERS_A_TURN = 512;

interface Archive {
  readonly path: string;
  readonly file: number;
  /** In bytes. */
  readonly size: number;
}

async function readMembers(archive: Archive, signal: AbortSignal | undefined): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  let globalPax: PaxRecord[] = [];
  let pax: PaxRecord[] = [];
  let longName: string | undefined;
  let longLink: string | undefined;
  for (let offset = 0, count = 0; offset < archive.size; count += 1) {
    if (count % MEMBERS_A_TURN === MEMBERS_A_TURN - 1) await nextTurn();
    throwIfAborted(signal, 'reading an archive');
    if (count > LIMITS.archiveMembers)
      throw new RootwrightError('LIMIT_EXCEEDED', `${archive.path}: has more than ${LIMITS.archiveMembers} members`, {
        details: { limit: LIMITS.archiveMembers },
      });
    const header = readHeader(readBytes(archive, offset, BLOCK_BYTES), 0, offset);
    if (header === undefined) break;
    const type = String.fromCharCode(header.type);
    const isExtension = 'xgLK'.includes(type) && header.type !== 0;
    const fields = isExtension ? undefined : applyPaxRecords(globalPax, pax, { offset });
    const size = fields?.size ?? header.size;
    const start = offset + BLOCK_BYTES;
    if (start + size > archive.size) throw invalidImage(archive.path, header.name, `the archive ends within this member, at byte ${archive.size}`);
    offset = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (isExtension) {
      if (size > LIMITS.tarHeaderBytes)
        throw new RootwrightError('LIMIT_EXCEEDED', `${archive.path}: a header of ${size} bytes`, { details: { limit: LIMITS.tarHeaderBytes } });
      const payload = readBytes(archive, start, size);
      if (type === 'x') pax = readPaxRecords(payload, { offset });
      else if (type === 'g') globalPax = [...globalPax, ...readPaxRecords(payload, { offset })];
      else if (type === 'L') longName = untilNul(payload);
      else longLink = untilNul(payload);
      continue;
    }
    const name = plainName(textOf(fields?.path ?? longName ?? header.name));
    const link = textOf(fields?.linkPath ?? longLink ?? header.linkName);
    // As in any tar archive, a later member replaces an earlier one of that name.
    if (name !== undefined && '\x0007'.includes(type)) members.set(name, { offset: start, size });
    else if (name !== undefined && type === '1') members.set(name, { link });
    else if (name !== undefined && type === '2') members.set(name, { link: posix.isAbsolute(link) ? link : posix.join(posix.dirname(name), link) });
    pax = [];
    longName = undefined;
    longLink = undefined;
  }
  return members;
}

function readBytes(archive: Archive, offset: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let done = 0;
  while (done < size) {
    const read = readSync(archive.file, bytes, done, size - done, offset + done);
    if (read === 0) throw invalidImage(archive.path, '', `ends at byte ${offset + done}, within a header`);
    done += read;
  }
  return bytes;
}

/** Without './' and doubled slashes; undefined for a path that is absolute or leaves the archive. */
function plainName(name: string): string | undefined {
  const plain = posix.normalize(name);
  return posix.isAbsolute(plain) || plain === '..' || plain.startsWith('../') ? undefined : plain;
}

/** Names are bytes (one character each) where they come from a header; JSON files inside name members in UTF-8. */
const textOf = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

function untilNul(payload: Buffer): string {
  const end = payload.indexOf(0);
  return payload.toString('latin1', 0, end < 0 ? payload.length : end);
}
