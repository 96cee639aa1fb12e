import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';

/** Whether a process holds the index `path`; nothing is written, waited for or mended. A damaged index is held by nobody. */
export function probeState(path: string): 'absent' | 'free' | 'held' {
  if (!existsSync(path)) return 'absent';
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { readonly: true, timeout: 0 });
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return 'free';
  } catch (error) {
    return error instanceof Database.SqliteError && /^SQLITE_(BUSY|LOCKED)/.test(error.code) ? 'held' : 'free';
  } finally {
    database?.close();
  }
}
