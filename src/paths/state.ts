/**
 * Files beside the index `state.db` of a root (see provisioner.ts); SQLite itself adds `state.db-wal`.
 *
 * ```
 * state.db.pid               the process that holds the index: for messages only, never trusted
 * state.db.repair            an empty SQLite database, locked while a damaged index is set aside
 * state.db.damaged-<time>    a damaged index that was set aside; may be deleted
 * ```
 */
export const stateHolderPath = (state: string): string => `${state}.pid`;
export const stateRepairPath = (state: string): string => `${state}.repair`;
/** `time` in milliseconds since the epoch. */
export const damagedStatePath = (state: string, time: number): string => `${state}.damaged-${time}`;
/** What SQLite keeps beside a database. */
export const STATE_COMPANIONS: readonly string[] = ['-wal', '-shm', '-journal'];
