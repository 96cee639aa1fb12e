import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { RootwrightError, isRootwrightError } from '../errors.ts';
import { damagedStatePath, STATE_COMPANIONS, stateHolderPath, stateRepairPath } from '../paths/state.ts';
import { StateIndex } from './state-index.ts';
import { migrateState, STATE_VERSION, stateVersion } from './state-schema.ts';

/** The open index of a root, and with it the right to work there: only one process holds it. */
export interface State {
  readonly path: string;
  /** True where a fresh index was made (none there, a damaged one, or one of a newer version): stores fill it again from disk in `recover`. */
  readonly rebuilt: boolean;
  readonly index: StateIndex;
  /** Lets go of the index and of the root. A second call does nothing. */
  close(): void;
}

export interface OpenStateOptions {
  /** How long to wait for the process that holds the index, in milliseconds; 0 where it is absent. */
  readonly waitMs?: number;
  /** Called once, when waiting begins. */
  readonly onWait?: () => void;
}

/**
 * Opens the index `path` (`<root>/state.db`, made with its directory where absent) and holds it exclusively until `close` or the end of
 * the process, `kill -9` included: the lock is the kernel's. A damaged index is set aside (paths/state.ts) and a fresh one made.
 *
 * The index holds nothing that is not on disk elsewhere, `used_at` excepted. So WAL with `synchronous=NORMAL` is enough: a power cut may
 * take the last transactions, never the consistency of the file, and `recover` compares it with the disk and mends what differs.
 *
 * Fails with ROOT_LOCKED where another process still holds it after `waitMs`, IO_ERROR, and ABORTED.
 */
export async function openState(path: string, options: OpenStateOptions = {}, signal?: AbortSignal): Promise<State> {
  const deadline = Date.now() + (options.waitMs ?? 0);
  let told = false;
  for (let pauseMs = 4; ; pauseMs = Math.min(pauseMs * 2, 100)) {
    if (signal?.aborted === true) throw aborted(signal, path);
    const state = tryOpen(path);
    if (state !== undefined) return state;
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) throw locked(path);
    if (!told) options.onWait?.();
    told = true;
    // Between half and the whole pause, so that several that wait do not come back in step.
    await sleep(Math.min(leftMs, pauseMs * (0.5 + Math.random() / 2)), undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}

interface OpenedIndex {
  readonly database: Database.Database;
  readonly index: StateIndex;
}

/** undefined where another connection holds the index. */
function tryOpen(path: string): State | undefined {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const existed = (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
    let opened = openDatabase(path);
    const rebuilt = !existed || opened === undefined;
    if (opened === undefined) {
      if (!setAside(path)) return undefined;
      opened = openDatabase(path);
      if (opened === undefined)
        throw new RootwrightError('INDEX_CORRUPT', `${path}: a fresh index is damaged at once; check the file system below it`);
    }
    return heldState(path, opened, rebuilt);
  } catch (error) {
    if (isBusy(error)) return undefined;
    if (isRootwrightError(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RootwrightError('IO_ERROR', `cannot open the index ${path}: ${reason}`, { cause: error, details: { path } });
  }
}

/** The database, held exclusively and of the current version; undefined where it is damaged or of a newer version. Throws SQLITE_BUSY where it is held. */
function openDatabase(path: string): OpenedIndex | undefined {
  // No busy timeout: SQLite would sleep in this thread.
  const database = new Database(path, { timeout: 0 });
  try {
    // Set before the first access, EXCLUSIVE keeps the lock over all transactions and needs no shared memory file.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = NORMAL');
    database.exec('BEGIN IMMEDIATE; COMMIT');
    if (stateVersion(database) <= STATE_VERSION && database.pragma('quick_check(1)', { simple: true }) === 'ok') {
      migrateState(database);
      return { database, index: new StateIndex(database) };
    }
    database.close();
    return undefined;
  } catch (error) {
    database.close();
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/**
 * Moves a damaged index out of the way. A lock of its own guards it: of two processes that find the damage at once, the second must not
 * move the fresh index of the first. False where another process is at it, or has the index open by now.
 */
function setAside(path: string): boolean {
  const guard = new Database(stateRepairPath(path), { timeout: 0 });
  try {
    guard.exec('BEGIN EXCLUSIVE');
    const opened = openDatabase(path);
    if (opened !== undefined) {
      opened.database.close();
      return true;
    }
    const aside = damagedStatePath(path, Date.now());
    renameSync(path, aside);
    for (const suffix of STATE_COMPANIONS) renameIfThere(path + suffix, aside + suffix);
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  } finally {
    guard.close();
  }
}

function heldState(path: string, { database, index }: OpenedIndex, rebuilt: boolean): State {
  writeFileSync(stateHolderPath(path), `${process.pid}\n`);
  return {
    path,
    rebuilt,
    index,
    close: () => {
      if (!database.open) return;
      // Before the lock goes: afterwards the file may be the next holder's.
      rmSync(stateHolderPath(path), { force: true });
      database.close();
    },
  };
}

function locked(path: string): RootwrightError {
  const pid = holderOf(path);
  const who = pid === undefined ? 'another process' : pid === process.pid ? 'this process itself' : `process ${pid}`;
  return new RootwrightError(
    'ROOT_LOCKED',
    `the directory ${dirname(path)} is in use by ${who}; wait until it has finished, or name another directory`,
    {
      details: { directory: dirname(path), pid },
    },
  );
}

function holderOf(path: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(stateHolderPath(path), 'utf8'), 10);
    process.kill(pid, 0);
    return pid;
  } catch (error) {
    // Signalling another user's process is not permitted, but tells that it lives.
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? Number.parseInt(readFileSync(stateHolderPath(path), 'utf8'), 10) : undefined;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

const sqliteCode = (error: unknown): string => (error instanceof Database.SqliteError ? error.code : '');
const isBusy = (error: unknown): boolean => /^SQLITE_(BUSY|LOCKED)/.test(sqliteCode(error));
const isDamage = (error: unknown): boolean => /^SQLITE_(NOTADB|CORRUPT|FORMAT|ERROR)/.test(sqliteCode(error));

function aborted(signal: AbortSignal, path: string): RootwrightError {
  return new RootwrightError('ABORTED', `waiting for ${dirname(path)} was cancelled`, { cause: signal.reason });
}
