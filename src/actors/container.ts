import { and, assign, enqueueActions, not, setup, type DoneActorEvent, type ErrorActorEvent } from 'xstate';
import { fromOperation } from './runtime/operation.ts';

/** A piece of work of a container. It answers whether anything of the container is left on disk; it is aborted by its signal. */
export type ContainerWork = (signal: AbortSignal) => Promise<boolean>;

export interface ContainerContext {
  /** Ids of the provisions under way. */
  readonly running: readonly string[];
  /** Whether the container has anything on disk. */
  readonly occupied: boolean;
  /** A destroy of it failed: what is left can only be destroyed. */
  readonly broken: boolean;
  /** Destroys that were asked for and have not begun: each waits for the lock. */
  readonly claims: number;
  /** How to take the container apart, from the moment a destroy holds the lock. */
  readonly takeApart: ContainerWork | undefined;
}

export type ContainerEvent =
  /** Begins one provision; several may be under way. Unheard while a destroy is asked for or has failed. */
  | { readonly type: 'provision'; readonly id: string; readonly work: ContainerWork }
  /** Aborts one provision. */
  | { readonly type: 'cancel'; readonly id: string }
  /** Asks for a destroy: from now on no provision begins, and those under way are aborted. */
  | { readonly type: 'destroy' }
  /** Takes back a `destroy` that has not begun. */
  | { readonly type: 'withdraw' }
  /** The destroy holds the lock: it begins once every provision has settled. */
  | { readonly type: 'begin'; readonly work: ContainerWork }
  | DoneActorEvent<boolean>
  | ErrorActorEvent;

/**
 * The life of one container. The machine does no I/O and knows no path: it says what may begin, what is to be aborted, and when a destroy
 * may start; the work comes in with the events, runs as an operation, and is left only when it has settled.
 *
 * ```
 * absent ──provision──▶ provisioning(n) ──last settled──▶ provisioned | absent
 *                            │ destroy: abort all                │ destroy
 *                            ▼                                   ▼
 *                       destroying.cancelling ──n = 0──▶ destroying.waiting ──begin──▶ destroying.working ──▶ absent | failed
 * failed ──destroy──▶ destroying.waiting
 * ```
 *
 * docs/explanation/lifecycle.md draws it; DESIGN.md and mesos.md 3.6 say why.
 */
export const containerMachine = setup({
  types: {
    input: {} as { readonly occupied: boolean; readonly broken: boolean },
    context: {} as ContainerContext,
    events: {} as ContainerEvent,
  },
  actors: {
    provision: fromOperation((input: { readonly work: ContainerWork }, signal: AbortSignal) => input.work(signal)),
    takeApart: fromOperation((input: { readonly work: ContainerWork }, signal: AbortSignal) => input.work(signal)),
  },
  guards: {
    occupied: ({ context }) => context.occupied,
    broken: ({ context }) => context.broken,
    idle: ({ context }) => context.running.length === 0,
    begun: ({ context }) => context.takeApart !== undefined,
    lastClaim: ({ context }) => context.claims <= 1,
  },
  actions: {
    start: enqueueActions(({ enqueue, event, context }) => {
      if (event.type !== 'provision') return;
      enqueue.spawnChild('provision', { id: event.id, input: { work: event.work } });
      enqueue.assign({ running: [...context.running, event.id] });
    }),
    cancelOne: enqueueActions(({ enqueue, event, context }) => {
      if (event.type === 'cancel' && context.running.includes(event.id)) enqueue.sendTo(event.id, { type: 'cancel' });
    }),
    cancelAll: enqueueActions(({ enqueue, context }) => {
      for (const id of context.running) enqueue.sendTo(id, { type: 'cancel' });
    }),
    // Work reports whether something is left; where it failed to, something may be.
    settle: assign(({ context, event }) =>
      'actorId' in event ? { running: context.running.filter((id) => id !== event.actorId), occupied: !('output' in event) || event.output } : {},
    ),
    claim: assign({ claims: ({ context }) => context.claims + 1 }),
    unclaim: assign({ claims: ({ context }) => Math.max(0, context.claims - 1) }),
    hold: assign(({ event }) => (event.type === 'begin' ? { takeApart: event.work } : {})),
    vacate: assign({ occupied: false, broken: false, claims: 0, takeApart: undefined }),
    release: assign({ occupied: true, broken: true, claims: 0, takeApart: undefined }),
  },
}).createMachine({
  id: 'container',
  context: ({ input }) => ({ running: [], occupied: input.occupied, broken: input.broken, claims: 0, takeApart: undefined }),
  initial: 'idle',
  on: { cancel: { actions: 'cancelOne' } },
  states: {
    /** Decides, without waiting, what a container is with which nothing is under way. */
    idle: { always: [{ guard: 'broken', target: 'failed' }, { guard: 'occupied', target: 'provisioned' }, { target: 'absent' }] },
    absent: { on: { provision: { target: 'provisioning', actions: 'start' }, destroy: { target: 'destroying', actions: 'claim' } } },
    provisioned: { on: { provision: { target: 'provisioning', actions: 'start' }, destroy: { target: 'destroying', actions: 'claim' } } },
    provisioning: {
      always: { guard: 'idle', target: 'idle' },
      on: {
        provision: { actions: 'start' },
        destroy: { target: 'destroying', actions: ['claim', 'cancelAll'] },
        'xstate.done.actor.*': { actions: 'settle' },
        'xstate.error.actor.*': { actions: 'settle' },
      },
    },
    destroying: {
      initial: 'cancelling',
      states: {
        /** Provisions that were aborted have not settled yet. */
        cancelling: {
          always: [
            { guard: and(['idle', 'begun']), target: 'working' },
            { guard: 'idle', target: 'waiting' },
          ],
          on: {
            begin: { actions: 'hold' },
            withdraw: [
              // what was aborted stays so
              { guard: and(['lastClaim', not('begun')]), target: '#container.provisioning', actions: 'unclaim' },
              { actions: 'unclaim' },
            ],
            'xstate.done.actor.*': { actions: 'settle' },
            'xstate.error.actor.*': { actions: 'settle' },
          },
        },
        /** The lock is held by others. */
        waiting: {
          on: {
            begin: { target: 'working', actions: 'hold' },
            withdraw: [{ guard: 'lastClaim', target: '#container.idle', actions: 'unclaim' }, { actions: 'unclaim' }],
          },
        },
        working: {
          invoke: {
            id: 'takeApart',
            src: 'takeApart',
            input: ({ context }) => ({ work: context.takeApart ?? nothing }),
            onDone: { target: '#container.absent', actions: 'vacate' },
            onError: { target: '#container.failed', actions: 'release' },
          },
          on: { withdraw: { actions: 'unclaim' } },
        },
      },
      on: { destroy: { actions: 'claim' } },
    },
    failed: { on: { destroy: { target: 'destroying', actions: 'claim' }, begin: { target: 'destroying.working', actions: 'hold' } } },
  },
});

async function nothing(): Promise<boolean> {
  return false;
}
