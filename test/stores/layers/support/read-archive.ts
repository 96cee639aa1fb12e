import { TarReader } from '../../../../src/stores/layers/reader.ts';
import type { TarEntry } from '../../../../src/stores/layers/tar-entry.ts';

export interface ReadEntry {
  readonly entry: TarEntry;
  /** As the file has it, holes filled with zeros. */
  readonly content: Buffer;
}

/** Everything in an archive that comes in pieces of `chunkBytes`. */
export function readArchive(archive: Buffer, chunkBytes = archive.length || 1): ReadEntry[] {
  const reader = new TarReader();
  const entries: ReadEntry[] = [];
  for (let at = 0; at < archive.length; at += chunkBytes) {
    reader.add(archive.subarray(at, at + chunkBytes));
    for (let event = reader.next(); event !== undefined; event = reader.next()) {
      if (event === 'entry') entries.push({ entry: reader.entry, content: Buffer.alloc(reader.entry.size) });
      else reader.content.copy(entries.at(-1)?.content ?? Buffer.alloc(0), reader.contentOffset);
    }
  }
  reader.finish();
  return entries;
}

/** The only entry of an archive. */
export function readOne(archive: Buffer): ReadEntry {
  const entries = readArchive(archive);
  if (entries.length !== 1 || entries[0] === undefined) throw new Error(`${entries.length} entries where one is expected`);
  return entries[0];
}

/** The entries alone: contents may be larger than memory. */
export function readEntries(archive: Buffer): TarEntry[] {
  const reader = new TarReader();
  const entries: TarEntry[] = [];
  reader.add(archive);
  for (let event = reader.next(); event !== undefined; event = reader.next()) if (event === 'entry') entries.push(reader.entry);
  reader.finish();
  return entries;
}
