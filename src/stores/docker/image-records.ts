import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RootwrightError } from '../../errors.ts';
import { writeDurably } from '../../linux/durable.ts';
import { imagePath, imagesDir } from '../../paths/docker-store.ts';
import type { StoreLogger } from '../logger.ts';
import { digestOf, findDigest, type Digest } from './digest.ts';

/** What an image is made of, as images/<key>.json keeps it. */
export interface ImageRecord {
  /** Normalised. */
  readonly name: string;
  /** `os/architecture[/variant]`, as it was asked for. */
  readonly platform: string;
  readonly manifestDigest: Digest;
  readonly configDigest: Digest;
  /** Lowest first, each layer once. */
  readonly diffIds: readonly Digest[];
  /** When this record's content came, in milliseconds since the epoch. */
  readonly createdAt: number;
}

/** The name of the record's file, less '.json'. */
export function imageKey(name: string, platform: string): string {
  return createHash('sha256').update(`${name}\0${platform}`).digest('hex');
}

/** Parses a record's file. Fails with STORE_CORRUPT, which says why. */
export function parseImageRecord(text: string, path: string): ImageRecord {
  const damaged = (why: string, cause?: unknown): RootwrightError =>
    new RootwrightError('STORE_CORRUPT', `the image record ${path} ${why}`, { cause, details: { path } });
  if (text === '') throw damaged('is empty');
  let file: { version?: unknown; checksum?: unknown; image?: unknown };
  try {
    file = (JSON.parse(text) ?? {}) as typeof file;
  } catch (error) {
    throw damaged('is not JSON', error);
  }
  if (file.version !== RECORD_VERSION) throw damaged(`has the version ${JSON.stringify(file.version)}, ${RECORD_VERSION} is known`);
  if (file.checksum !== digestOf(JSON.stringify(file.image) ?? '')) throw damaged('does not match its checksum');
  if (!isImageRecord(file.image)) throw damaged('lacks fields');
  return file.image;
}

/**
 * The image records of a store, kept in memory from the first read: this process is the only writer (state.db is held). A damaged record
 * counts as absent here; `recover` sets it aside.
 */
export class ImageRecords {
  readonly #store: string;
  readonly #logger: StoreLogger;
  readonly #records = new Map<string, ImageRecord>();
  #complete = false;

  constructor(store: string, logger: StoreLogger) {
    this.#store = store;
    this.#logger = logger;
  }

  find(name: string, platform: string): ImageRecord | undefined {
    const known = this.#records.get(memoryKey(name, platform));
    if (known !== undefined || this.#complete) return known;
    const record = this.#read(imagePath(this.#store, imageKey(name, platform)));
    if (record !== undefined) this.#records.set(memoryKey(name, platform), record);
    return record;
  }

  /** By name, then platform. */
  all(): ImageRecord[] {
    if (!this.#complete) {
      for (const file of readdirSync(imagesDir(this.#store))) {
        const record = file.endsWith('.json') && !file.startsWith('.') ? this.#read(join(imagesDir(this.#store), file)) : undefined;
        if (record !== undefined && !this.#records.has(memoryKey(record.name, record.platform)))
          this.#records.set(memoryKey(record.name, record.platform), record);
      }
      this.#complete = true;
    }
    return [...this.#records.values()].toSorted((a, b) => compare(a.name, b.name) || compare(a.platform, b.platform));
  }

  /** Durable when it has settled. Fails as node:fs does; then it is as before. */
  async put(record: ImageRecord): Promise<void> {
    const path = imagePath(this.#store, imageKey(record.name, record.platform));
    await writeDurably(path, `${JSON.stringify({ version: RECORD_VERSION, checksum: digestOf(JSON.stringify(record)), image: record })}\n`);
    this.#records.set(memoryKey(record.name, record.platform), record);
  }

  /** Forgets a record whose file is gone. */
  forget(record: ImageRecord): void {
    this.#records.delete(memoryKey(record.name, record.platform));
  }

  /** Forgets all that was read: the next call reads the disk again. */
  reset(): void {
    this.#records.clear();
    this.#complete = false;
  }

  #read(path: string): ImageRecord | undefined {
    try {
      return parseImageRecord(readFileSync(path, 'utf8'), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#logger.warn({ err: error, path }, 'image record passed over');
      return undefined;
    }
  }
}

const RECORD_VERSION = 1;

const memoryKey = (name: string, platform: string): string => `${name}\0${platform}`;
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function isImageRecord(value: unknown): value is ImageRecord {
  const record = value as Partial<Record<keyof ImageRecord, unknown>> | null | undefined;
  const isDigest = (digest: unknown): boolean => typeof digest === 'string' && findDigest(digest) !== undefined;
  return (
    typeof record?.name === 'string' &&
    typeof record.platform === 'string' &&
    isDigest(record.manifestDigest) &&
    isDigest(record.configDigest) &&
    Array.isArray(record.diffIds) &&
    record.diffIds.every(isDigest) &&
    typeof record.createdAt === 'number'
  );
}
