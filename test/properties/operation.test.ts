import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createActor } from 'xstate';
import { fromOperation } from '../../src/actors/runtime/operation.ts';
import { SharedWork, shareWork } from '../../src/actors/runtime/shared-work.ts';

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? (error as Error).message;
const nextLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('an operation, over schedules', () => {
  it('is left exactly when its work has settled, cancelled at any point, heeding it or not', async () => {
    let cancelled = 0;
    const work = fc.record({ awaits: fc.nat(4), heeds: fc.boolean(), cleansUp: fc.nat(2), fails: fc.boolean(), cancels: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), work, async (scheduler, { awaits, heeds, cleansUp, fails, cancels }) => {
        let state = 'waiting';
        const logic = fromOperation(async (_: undefined, signal) => {
          state = 'running';
          try {
            for (let i = 0; i < awaits; i += 1) {
              await scheduler.schedule(Promise.resolve(), `work ${i}`);
              if (heeds && signal.aborted) {
                for (let j = 0; j < cleansUp; j += 1) await scheduler.schedule(Promise.resolve(), `clean up ${j}`);
                throw signal.reason;
              }
            }
            if (fails) throw new Error('failed');
            return 'made';
          } finally {
            state = 'settled';
          }
        });
        const actor = createActor(logic, { input: undefined });
        let heard = '';
        actor.subscribe({
          next: ({ status }) => status === 'done' && expect(state).toBe('settled'),
          error: (error) => {
            expect(state).not.toBe('running');
            heard = codeOf(error);
          },
        });
        if (cancels)
          void scheduler.schedule(Promise.resolve(), 'cancel').then(() => actor.getSnapshot().status === 'active' && actor.send({ type: 'cancel' }));
        void scheduler.schedule(Promise.resolve(), 'start').then(() => actor.start());
        while (scheduler.count() > 0) {
          await scheduler.waitOne();
          await nextLoop();
          const { status } = actor.getSnapshot();
          expect(status === 'active').toBe(state === 'running' || (state === 'waiting' && heard === ''));
        }
        const { status, output } = actor.getSnapshot();
        if (heard === 'ABORTED') cancelled += 1;
        if (heard === '') expect([status, output, fails]).toEqual(['done', 'made', false]);
        else expect(heard === 'ABORTED' ? cancels : fails).toBe(true);
      }),
      { numRuns: 500 },
    );
    expect(cancelled).toBeGreaterThan(30);
  });
});

const caller = fc.record({ comesLater: fc.boolean(), aborts: fc.boolean(), hasSignal: fc.boolean() });
const leaver = fc.record({ comesLater: fc.boolean(), aborts: fc.constant(true), hasSignal: fc.constant(true) });
/** In about half of the cases nobody stays to the end. */
const callersUpTo = (maxLength: number) => fc.oneof(fc.array(caller, { minLength: 1, maxLength }), fc.array(leaver, { minLength: 1, maxLength }));
const body = fc.record({ awaits: fc.nat(4), heeds: fc.boolean(), cleansUp: fc.nat(2), fails: fc.boolean() });

describe('shared work, over schedules', () => {
  it('is aborted if and only if everybody has left, and settles each caller once and in time', async () => {
    const seen = { aborted: 0, left: 0 };
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), callersUpTo(6), body, async (scheduler, callers, body) => {
        const run = { aborted: false, settled: false };
        const waiting = new Set<number>();
        const work = new SharedWork(async (signal) => {
          signal.addEventListener('abort', () => {
            run.aborted = true;
            expect(waiting.size).toBe(0);
          });
          try {
            return await runBody(scheduler, body, signal);
          } finally {
            run.settled = true;
          }
        });
        const all = callers.map(async ({ comesLater, aborts, hasSignal }, id) => {
          if (comesLater) await scheduler.schedule(Promise.resolve(), `come ${id}`);
          const abort = new AbortController();
          const refused = run.aborted;
          let last = false;
          if (!refused) waiting.add(id);
          if (aborts && hasSignal) {
            void scheduler.schedule(Promise.resolve(), `abort ${id}`).then(() => {
              const was = waiting.delete(id);
              last = was && waiting.size === 0 && !run.settled;
              abort.abort();
              if (last) expect(run.aborted).toBe(true);
              return undefined;
            });
          }
          const outcome = await work.join(hasSignal ? abort.signal : undefined).then((value) => value, codeOf);
          waiting.delete(id);
          if (refused) return expect(outcome).toBe('ABORTED');
          if (last) expect(run.settled).toBe(true);
          if (abort.signal.aborted && outcome === 'ABORTED') seen.left += 1;
          else expect([outcome, run.settled, run.aborted]).toEqual([body.fails ? 'failed' : 'made', true, false]);
        });
        await scheduler.waitFor(Promise.all(all));
        while (scheduler.count() > 0) await scheduler.waitOne();
        await work.settled;
        expect(work.callers).toBe(0);
        expect(work.joinable).toBe(!run.aborted);
        if (callers.some(({ aborts, hasSignal, comesLater }) => !comesLater && !(aborts && hasSignal))) expect(run.aborted).toBe(false);
        if (run.aborted) seen.aborted += 1;
      }),
      { numRuns: 600 },
    );
    expect(seen.aborted).toBeGreaterThan(30);
    expect(seen.left).toBeGreaterThan(100);
  });

  it('never overlaps for one key, and leaves nothing in the table', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), callersUpTo(8), body, async (scheduler, callers, body) => {
        const table = new Map<string, SharedWork<string>>();
        let underWay = 0;
        const run = async (signal: AbortSignal): Promise<string> => {
          underWay += 1;
          runs += 1;
          expect(underWay).toBe(1);
          try {
            return await runBody(scheduler, body, signal);
          } finally {
            underWay -= 1;
          }
        };
        const all = callers.map(async ({ comesLater, aborts, hasSignal }, id) => {
          if (comesLater) await scheduler.schedule(Promise.resolve(), `come ${id}`);
          const abort = new AbortController();
          if (aborts && hasSignal) void scheduler.schedule(Promise.resolve(), `abort ${id}`).then(() => abort.abort());
          const outcome = await shareWork(table, 'key', run, hasSignal ? abort.signal : undefined).then((value) => value, codeOf);
          // Nobody hears ABORTED who did not abort: a run that others gave up is begun again for those who come after.
          if (outcome === 'ABORTED') expect(abort.signal.aborted).toBe(true);
          else expect(outcome).toBe(body.fails ? 'failed' : 'made');
        });
        await scheduler.waitFor(Promise.all(all));
        while (scheduler.count() > 0) await scheduler.waitOne();
        await nextLoop();
        expect([table.size, underWay]).toEqual([0, 0]);
      }),
      { numRuns: 600 },
    );
    expect(runs).toBeGreaterThan(600);
  });
});

async function runBody(
  scheduler: fc.Scheduler,
  { awaits, heeds, cleansUp, fails }: { awaits: number; heeds: boolean; cleansUp: number; fails: boolean },
  signal: AbortSignal,
): Promise<string> {
  for (let i = 0; i < awaits; i += 1) {
    await scheduler.schedule(Promise.resolve(), `work ${i}`);
    if (!heeds || !signal.aborted) continue;
    for (let j = 0; j < cleansUp; j += 1) await scheduler.schedule(Promise.resolve(), `clean up ${j}`);
    throw signal.reason;
  }
  if (fails) throw new Error('failed');
  return 'made';
}
