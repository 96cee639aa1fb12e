import { channel } from 'node:diagnostics_channel';

/** One process as it is seen from outside: plain data, taken at one instant. */
export interface ProcessInfo {
  readonly id: string;
  readonly mailbox: MailboxKind;
  readonly state: ProcessState;
  /** Turns waiting. */
  readonly queued: number;
  /** Turns begun since the process was spawned. */
  readonly turns: number;
  /** Handlers begun that have not settled: at most one in a serial mailbox. */
  readonly unsettled: number;
  /** The method whose turn is under way. An interleaved turn ends at its first await, so there it is only seen from within. */
  readonly method: string | undefined;
  /** From dispatch to the start of the turn, in milliseconds. */
  readonly queuedMs: Times;
  /** From the start of the turn to its end, in milliseconds, over turns that have ended. */
  readonly ranMs: Times;
}

/** Total and longest, in milliseconds. */
export interface Times {
  readonly total: number;
  readonly max: number;
}

/** Where a turn ends: at the handler's first await (as in libprocess), or when its promise has settled. */
export type MailboxKind = 'interleaved' | 'serial';

/** `draining`: terminated, but after what is queued. `terminating`: no turn starts any more; handlers that had begun are still settling. */
export type ProcessState = 'running' | 'draining' | 'terminating' | 'terminated';

/**
 * `node:diagnostics_channel` `rootwright:process`: a {@link ProcessEvent} when a process has been spawned and when it has terminated.
 * A subscriber that throws stops nothing here; Node reports it as an uncaught exception of the subscriber.
 */
export const processChannel = channel('rootwright:process');

/** `node:diagnostics_channel` `rootwright:turn`: a {@link TurnEvent} when a turn has been answered. Free while nobody subscribes. */
export const turnChannel = channel('rootwright:turn');

/** What {@link processChannel} carries. */
export interface ProcessEvent {
  readonly type: 'spawned' | 'terminated';
  readonly id: string;
  readonly mailbox: MailboxKind;
  /** What `finalize` threw. */
  readonly error?: unknown;
}

/** What {@link turnChannel} carries. */
export interface TurnEvent {
  readonly id: string;
  readonly method: string;
  /** From dispatch to the start of the turn, in milliseconds. */
  readonly queuedMs: number;
  /** From the start of the turn to its end, in milliseconds. */
  readonly ranMs: number;
  /** From the start of the turn to its answer, in milliseconds: longer than `ranMs` where an interleaved handler awaited something. */
  readonly answeredMs: number;
  /** Present where the handler failed; perhaps nobody else looks at it. */
  readonly error?: unknown;
}

/** Sums and maxima of one process's turns. */
export class TurnTimes {
  #total = 0;
  #max = 0;

  add(ms: number): void {
    this.#total += ms;
    if (ms > this.#max) this.#max = ms;
  }

  read(): Times {
    return { total: this.#total, max: this.#max };
  }
}
