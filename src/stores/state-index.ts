import type { Database, Statement } from 'better-sqlite3';
import { RootwrightError } from '../errors.ts';
import type { LayerForm } from '../paths/docker-store.ts';

/** An image, as the index has it; times in milliseconds since the epoch. */
export interface ImageRow {
  readonly name: string;
  /** `os/architecture[/variant]`. */
  readonly platform: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly createdAt: number;
  readonly usedAt: number;
}

/** A layer in one form. */
export interface LayerRow {
  readonly diffId: string;
  readonly form: LayerForm;
  /** Of its tar archive. */
  readonly bytes: number;
  readonly entries: number;
  readonly createdAt: number;
}

/**
 * The tables of the index. Every call is one short synchronous transaction. Fails with INDEX_CORRUPT where SQLite finds damage while
 * running, and IO_ERROR where the disk is full or fails.
 */
export class StateIndex {
  readonly #database: Database;
  readonly #statements: Statements;

  constructor(database: Database) {
    this.#database = database;
    this.#statements = prepare(database);
  }

  images(): ImageRow[] {
    return this.#run(() => this.#statements.images.all());
  }

  /** Adds or replaces by name and platform. */
  putImage(image: ImageRow): void {
    this.#run(() => this.#statements.putImage.run(image));
  }

  removeImage(name: string, platform: string): void {
    this.#run(() => this.#statements.removeImage.run(name, platform));
  }

  /** Sets `usedAt` of images that are there; others are passed over. */
  touchImages(uses: ReadonlyArray<Pick<ImageRow, 'name' | 'platform' | 'usedAt'>>): void {
    if (uses.length > 0) this.#transaction(() => uses.forEach((use) => this.#statements.touchImage.run(use)));
  }

  layers(): LayerRow[] {
    return this.#run(() => this.#statements.layers.all());
  }

  /** Adds or replaces by diff id and form. */
  putLayers(layers: readonly LayerRow[]): void {
    this.#transaction(() => layers.forEach((layer) => this.#statements.putLayer.run(layer)));
  }

  /** All forms of a layer. */
  removeLayer(diffId: string): void {
    this.#run(() => this.#statements.removeLayer.run(diffId));
  }

  /** Makes the index say exactly this, in one transaction; an image that it knows already keeps its `usedAt`. */
  replaceAll(images: readonly ImageRow[], layers: readonly LayerRow[]): void {
    this.#transaction(() => {
      const usedAt = new Map(this.#statements.images.all().map((row) => [`${row.name}\0${row.platform}`, row.usedAt]));
      this.#database.exec('DELETE FROM images; DELETE FROM layers');
      for (const image of images) this.#statements.putImage.run({ ...image, usedAt: usedAt.get(`${image.name}\0${image.platform}`) ?? image.usedAt });
      for (const layer of layers) this.#statements.putLayer.run(layer);
    });
  }

  #transaction(body: () => void): void {
    this.#run(() => this.#database.transaction(body).immediate());
  }

  #run<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      const code = (error as { code?: string }).code ?? '';
      const damaged = /^SQLITE_(CORRUPT|NOTADB)/.test(code);
      const advice = damaged ? 'it is damaged: stop, and start again with recover, which makes it anew' : 'check the disk';
      const reason = error instanceof Error ? error.message : String(error);
      throw new RootwrightError(damaged ? 'INDEX_CORRUPT' : 'IO_ERROR', `the index ${this.#database.name}: ${reason}; ${advice}`, {
        cause: error,
        details: { path: this.#database.name, sqlite: code },
      });
    }
  }
}

interface Statements {
  readonly images: Statement<[], ImageRow>;
  readonly putImage: Statement<[ImageRow]>;
  readonly removeImage: Statement<[string, string]>;
  readonly touchImage: Statement<[Pick<ImageRow, 'name' | 'platform' | 'usedAt'>]>;
  readonly layers: Statement<[], LayerRow>;
  readonly putLayer: Statement<[LayerRow]>;
  readonly removeLayer: Statement<[string]>;
}

function prepare(database: Database): Statements {
  return {
    images: database.prepare(
      `SELECT name, platform, manifest_digest AS manifestDigest, config_digest AS configDigest, created_at AS createdAt, used_at AS usedAt
       FROM images ORDER BY name, platform`,
    ),
    putImage: database.prepare(
      `INSERT OR REPLACE INTO images (name, platform, manifest_digest, config_digest, created_at, used_at)
       VALUES (@name, @platform, @manifestDigest, @configDigest, @createdAt, @usedAt)`,
    ),
    removeImage: database.prepare('DELETE FROM images WHERE name = ? AND platform = ?'),
    touchImage: database.prepare('UPDATE images SET used_at = max(used_at, @usedAt) WHERE name = @name AND platform = @platform'),
    layers: database.prepare('SELECT diff_id AS diffId, form, bytes, entries, created_at AS createdAt FROM layers ORDER BY diff_id, form'),
    putLayer: database.prepare(
      `INSERT OR REPLACE INTO layers (diff_id, form, bytes, entries, created_at) VALUES (@diffId, @form, @bytes, @entries, @createdAt)`,
    ),
    removeLayer: database.prepare('DELETE FROM layers WHERE diff_id = ?'),
  };
}
