import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * A turn that holds others up: a serial turn under way, or an interleaved one that such a turn waits for. It is carried along the
 * asynchronous calls of its handler, so that a dispatch made in there is known as an ask of this turn.
 */
export class TurnUnderWay {
  readonly mailbox: AskedMailbox;
  readonly method: string;
  #asker: TurnUnderWay | undefined;
  #settled = false;
  /** The serial turns that this one has asked for and that have not answered. */
  readonly asks = new Set<Ask>();

  constructor(mailbox: AskedMailbox, method: string, asker: TurnUnderWay | undefined) {
    this.mailbox = mailbox;
    this.method = method;
    this.#asker = asker;
  }

  /** Nobody waits for what the handler may have left running. The asker is let go, or two processes that relay for ever would keep every turn. */
  settle(): void {
    this.#settled = true;
    this.#asker = undefined;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** The serial turn that can't end before an ask made here is answered; none once any turn in between has settled. */
  get holder(): TurnUnderWay | undefined {
    if (this.#settled) return undefined;
    return this.mailbox.serial ? this : this.#asker?.holder;
  }
}

/** An ask of a serial mailbox that has not been answered. */
export interface Ask {
  readonly mailbox: AskedMailbox;
  readonly method: string;
}

/** What the search for cycles looks at in a mailbox. */
export interface AskedMailbox {
  readonly id: string;
  readonly serial: boolean;
  /** The serial turn under way. */
  readonly running: TurnUnderWay | undefined;
}

const underWay = new AsyncLocalStorage<TurnUnderWay | undefined>();

/** The turn in whose handler the caller runs, as far as someone waits for it. */
export function currentTurn(): TurnUnderWay | undefined {
  const turn = underWay.getStore();
  return turn === undefined || turn.settled ? undefined : turn;
}

/** Runs `body` as part of `turn`. The storage is left alone where it says so already: without a serial process it is never switched on. */
export function runWithin<T>(turn: TurnUnderWay | undefined, body: () => T): T {
  return underWay.getStore() === turn ? body() : underWay.run(turn, body);
}

/**
 * The cycle that an ask of `mailbox` would close, as `a(1).get → b(1).load → a(1).get`; undefined where it closes none.
 *
 * A serial mailbox waits for its turn under way, and that turn for the mailboxes it has asked. An ask closes a cycle exactly where the
 * asked mailbox already waits, over any number of such steps, for the turn that asks. That finds a process that asks itself, a ring of
 * asks, and two processes that ask each other from turns that began independently. A chain may pass through interleaved processes.
 */
export function findCycle(asker: TurnUnderWay | undefined, mailbox: AskedMailbox, method: string): string | undefined {
  const holder = asker?.holder;
  if (holder === undefined || !mailbox.serial) return undefined;
  const path = pathTo(holder, { mailbox, method }, new Set());
  return path && [holder, ...path].map((ask) => `${ask.mailbox.id}.${ask.method}`).join(' → ');
}

/** The asks from `ask` on, the last of which waits for `holder`. */
function pathTo(holder: TurnUnderWay, ask: Ask, seen: Set<AskedMailbox>): Ask[] | undefined {
  if (ask.mailbox === holder.mailbox) return [ask];
  seen.add(ask.mailbox);
  for (const next of ask.mailbox.running?.asks ?? []) {
    const rest = seen.has(next.mailbox) ? undefined : pathTo(holder, next, seen);
    if (rest !== undefined) return [ask, ...rest];
  }
  return undefined;
}
