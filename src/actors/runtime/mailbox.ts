import { type Actor, type ActorLogic, createActor, type Snapshot } from 'xstate';
import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { abortController } from './abort.ts';
import { type AskedMailbox, currentTurn, findCycle, runWithin, TurnUnderWay } from './ask-cycle.ts';
import { Fifo } from './fifo.ts';
import { type MailboxKind, processChannel, type ProcessEvent, type ProcessInfo, type ProcessState, turnChannel, TurnTimes } from './observe.ts';
import { type PID, type Process, processLifecycle } from './process.ts';
import { Turn } from './turn.ts';

/**
 * The mailbox of one process, and its PID: the queue of turns, and the actor (xstate) that hears of them.
 *
 * What is sent to a process goes through its xstate actor, which decides by its status whether it is heard at all; a transition is
 * synchronous, so it only queues. Turns start in a microtask, never on the stack of the one who dispatched.
 */
export class Mailbox implements PID, AskedMailbox {
  readonly id: string;
  readonly serial: boolean;
  /** The serial turn under way, as the search for cycles sees it. */
  running: TurnUnderWay | undefined;
  readonly #process: Process;
  readonly #capacity: number;
  readonly #onTerminated: (mailbox: Mailbox) => void;
  readonly #actor: Actor<ProcessLogic>;
  readonly #queue = new Fifo<Turn>();
  readonly #queuedMs = new TurnTimes();
  readonly #ranMs = new TurnTimes();
  readonly #waiting: (() => void)[] = [];
  #abort: AbortController | undefined;
  #state: ProcessState = 'running';
  #woken = false;
  #turnsInARow = 0;
  #turns = 0;
  #unsettled = 0;
  #method: string | undefined;

  constructor(id: string, process: Process, options: { mailbox: MailboxKind; capacity: number; onTerminated: (mailbox: Mailbox) => void }) {
    this.id = id;
    this.serial = options.mailbox === 'serial';
    this.#process = process;
    this.#capacity = options.capacity;
    this.#onTerminated = options.onTerminated;
    processLifecycle().attach(process, this.#host());
    this.#actor = createActor(fromMailbox(this), { id }).start();
    try {
      processLifecycle().initialize(process);
    } catch (error) {
      this.#discardQueued();
      this.#leave();
      throw error;
    }
    if (processChannel.hasSubscribers) processChannel.publish({ type: 'spawned', id, mailbox: options.mailbox } satisfies ProcessEvent);
  }

  /** Queues a turn and answers with its result. An unobserved failure is no unhandled rejection: `rootwright:turn` shows it. */
  ask(method: string, run: (process: Process) => unknown, asker: TurnUnderWay | undefined): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      const refusal = this.refusal(method, asker);
      if (refusal !== undefined) reject(refusal);
      else this.#actor.send(new Turn(this, method, run, resolve, reject, asker));
    });
    answer.then(undefined, ignore);
    return answer;
  }

  /** Why a turn asked for by `asker` can't be queued now: ACTOR_TERMINATED, MAILBOX_FULL or ACTOR_CYCLE. */
  refusal(method: string, asker: TurnUnderWay | undefined): RootwrightError | undefined {
    if (this.#state !== 'running') return this.#terminatedError();
    if (this.#queue.size >= this.#capacity) {
      return new RootwrightError('MAILBOX_FULL', `${this.id}: ${this.#capacity} turns are waiting already; wait for answers before asking for more`, {
        details: { process: this.id, method, capacity: this.#capacity },
      });
    }
    return this.#cycle(method, asker);
  }

  /** See `terminate` in dispatch.ts. */
  terminate(inject: boolean): void {
    if (this.#state !== 'terminated') this.#actor.send({ type: 'terminate', inject });
  }

  /** See `wait` in dispatch.ts. */
  wait(): Promise<void> {
    const asker = this.#state === 'terminated' ? undefined : currentTurn();
    const cycle = this.#cycle('wait', asker);
    if (cycle !== undefined) return Promise.reject(cycle);
    const holder = asker?.holder;
    const ask = { mailbox: this, method: 'wait' };
    holder?.asks.add(ask);
    return this.whenTerminated().then(() => void holder?.asks.delete(ask));
  }

  /** As {@link wait}, for those who do not hold a turn up by it. */
  whenTerminated(): Promise<void> {
    if (this.#state === 'terminated') return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  info(): ProcessInfo {
    return {
      id: this.id,
      mailbox: this.serial ? 'serial' : 'interleaved',
      state: this.#state,
      queued: this.#queue.size,
      turns: this.#turns,
      unsettled: this.#unsettled,
      method: this.#method,
      queuedMs: this.#queuedMs.read(),
      ranMs: this.#ranMs.read(),
    };
  }

  toString(): string {
    return this.id;
  }

  /** @internal The actor's transition: user code never runs in here, except listeners of the signal. */
  receive(message: Message): void {
    switch (message.type) {
      case 'turn':
        // Refused before it was sent, unless the process has been terminated by a listener of its own signal since.
        if (this.#state !== 'running') return message.reject(this.#terminatedError());
        this.#queue.push(message);
        return this.#wake();
      case 'terminate':
        return message.inject ? this.#beginTermination() : this.#drain();
      case 'xstate.stop':
        return this.#beginTermination();
      case 'terminated':
    }
  }

  #wake(): void {
    if (this.#woken || this.running !== undefined || this.#queue.size === 0) return;
    this.#woken = true;
    // Microtasks keep timers and I/O out for as long as there are any: a long backlog lets them in from time to time.
    if (this.#turnsInARow < LIMITS.turnsInARow) void MICROTASK.then(this.#startNext);
    else setImmediate(this.#startNext);
  }

  readonly #startNext = (): void => {
    this.#woken = false;
    const turn = this.#queue.shift();
    if (turn === undefined) return; // terminated since
    this.#turnsInARow = this.#queue.size === 0 || this.#turnsInARow >= LIMITS.turnsInARow ? 0 : this.#turnsInARow + 1;
    this.#run(turn);
  };

  #run(turn: Turn): void {
    turn.startedAt = performance.now();
    this.#queuedMs.add(turn.startedAt - turn.queuedAt);
    this.#turns += 1;
    this.#unsettled += 1;
    this.#method = turn.method;
    // An interleaved turn that no serial turn waits for needs no place in the chain.
    const underWay = this.serial || turn.asker !== undefined ? new TurnUnderWay(this, turn.method, turn.asker) : undefined;
    if (this.serial) this.running = underWay;
    turn.underWay = underWay;
    let result: unknown;
    let thenable: boolean;
    try {
      result = runWithin(underWay, () => turn.run(this.#process));
      thenable = isThenable(result);
    } catch (error) {
      this.#end(turn);
      this.#settle(turn, true, error);
      return;
    }
    if (!thenable) {
      this.#end(turn);
      this.#settle(turn, false, result);
      return;
    }
    if (!this.serial) this.#end(turn);
    const promise = result instanceof Promise ? result : Promise.resolve(result);
    promise.then(
      (value) => this.#settle(turn, false, value),
      (error: unknown) => this.#settle(turn, true, error),
    );
    if (!this.serial) this.#next();
  }

  /** The turn has ended: the next one may start. */
  #end(turn: Turn): void {
    turn.endedAt = performance.now();
    this.#ranMs.add(turn.endedAt - turn.startedAt);
    this.#method = undefined;
    this.running = undefined;
  }

  /** The handler has settled: its answer is known. */
  #settle(turn: Turn, failed: boolean, value: unknown): void {
    if (turn.endedAt === 0) this.#end(turn);
    turn.underWay?.settle();
    this.#unsettled -= 1;
    if (turnChannel.hasSubscribers) turn.publish(failed, value);
    if (failed) turn.reject(value);
    else turn.resolve(value);
    this.#next();
  }

  #next(): void {
    if (this.#state === 'running') this.#wake();
    else if (this.#state === 'draining') this.#drain();
    else this.#finishWhenSettled();
  }

  #drain(): void {
    if (this.#state !== 'running' && this.#state !== 'draining') return;
    this.#state = 'draining';
    if (this.#queue.size > 0) this.#wake();
    else if (this.running === undefined) this.#beginTermination();
  }

  #beginTermination(): void {
    if (this.#state === 'terminating' || this.#state === 'terminated') return;
    this.#discardQueued();
    this.#abort?.abort(this.#terminatedError());
    this.#finishWhenSettled();
  }

  #discardQueued(): void {
    this.#state = 'terminating';
    if (this.#queue.size === 0) return;
    const error = this.#terminatedError(); // one for all: an error costs more than a turn
    for (const turn of this.#queue.drain()) turn.reject(error);
  }

  #finishWhenSettled(): void {
    if (this.#unsettled === 0) void MICROTASK.then(this.#finish);
  }

  readonly #finish = (): void => {
    if (this.#state !== 'terminating') return;
    let failure: { error?: unknown } = {};
    try {
      processLifecycle().finalize(this.#process);
    } catch (error) {
      failure = { error };
    }
    this.#leave();
    if (processChannel.hasSubscribers) {
      processChannel.publish({ type: 'terminated', id: this.id, mailbox: this.serial ? 'serial' : 'interleaved', ...failure } satisfies ProcessEvent);
    }
  };

  #leave(): void {
    this.#state = 'terminated';
    this.#onTerminated(this);
    this.#actor.send({ type: 'terminated' });
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #cycle(method: string, asker: TurnUnderWay | undefined): RootwrightError | undefined {
    const cycle = findCycle(asker, this, method);
    if (cycle === undefined) return undefined;
    return new RootwrightError('ACTOR_CYCLE', `${cycle}: the last of these would wait for the first for ever; ask only downwards, or tell`, {
      details: { process: this.id, method, cycle },
    });
  }

  #terminatedError(): RootwrightError {
    return new RootwrightError('ACTOR_TERMINATED', `${this.id} has terminated`, { details: { process: this.id } });
  }

  /** The signal is made when somebody first asks for it: most of ten thousand containers never do. */
  #host(): { readonly pid: PID; readonly signal: AbortSignal } {
    const signal = (): AbortSignal => {
      if (this.#abort === undefined) {
        this.#abort = abortController();
        if (this.#state === 'terminating' || this.#state === 'terminated') this.#abort.abort(this.#terminatedError());
      }
      return this.#abort.signal;
    };
    return {
      pid: this,
      get signal() {
        return signal();
      },
    };
  }
}

/** The mailbox behind a PID; every PID is one. */
export function mailboxOf(pid: PID): Mailbox {
  return pid as Mailbox;
}

type Message = Turn | { readonly type: 'terminate'; readonly inject: boolean } | { readonly type: 'terminated' } | { readonly type: 'xstate.stop' };
type ProcessLogic = ActorLogic<Snapshot<undefined>, Message>;

const ACTIVE = { status: 'active', output: undefined, error: undefined } as const;
const DONE = { status: 'done', output: undefined, error: undefined } as const;
const STOPPED = { status: 'stopped', output: undefined, error: undefined } as const;
const MICROTASK = Promise.resolve();

/** A process as xstate actor logic, a sibling of fromPromise and fromCallback. It is done when the process has terminated. */
function fromMailbox(mailbox: Mailbox): ProcessLogic {
  return {
    getInitialSnapshot: () => ACTIVE,
    getPersistedSnapshot: (snapshot) => snapshot,
    transition(snapshot, message) {
      mailbox.receive(message);
      if (message.type === 'terminated') return DONE;
      return message.type === 'xstate.stop' ? STOPPED : snapshot;
    },
  };
}

function isThenable(value: unknown): boolean {
  return value instanceof Promise || (typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function');
}

function ignore(): void {}
