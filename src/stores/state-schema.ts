import type { Database } from 'better-sqlite3';

/** The version that {@link migrateState} brings an index to: the number of its steps. */
export const STATE_VERSION = 1;

/** The schema version of an index, 0 for an empty file. */
export function stateVersion(database: Database): number {
  return database.pragma('user_version', { simple: true }) as number;
}

/** Brings an index of any older version to {@link STATE_VERSION} in one transaction, step by step. */
export function migrateState(database: Database): void {
  const from = stateVersion(database);
  if (from >= STATE_VERSION) return;
  database
    .transaction(() => {
      for (const step of STEPS.slice(from)) database.exec(step);
      database.pragma(`user_version = ${STATE_VERSION}`);
    })
    .immediate();
}

/** Never change a step that was released: add one. Times are milliseconds since the epoch. */
const STEPS: readonly string[] = [
  `CREATE TABLE images (
     name TEXT NOT NULL,
     platform TEXT NOT NULL,
     manifest_digest TEXT NOT NULL,
     config_digest TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     used_at INTEGER NOT NULL,
     PRIMARY KEY (name, platform)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE layers (
     diff_id TEXT NOT NULL,
     form TEXT NOT NULL,
     bytes INTEGER NOT NULL,
     entries INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     PRIMARY KEY (diff_id, form)
   ) STRICT, WITHOUT ROWID;`,
];
