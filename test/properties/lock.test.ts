import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReadWriteLock } from '../../src/actors/runtime/read-write-lock.ts';

/** Somebody who comes at some point, perhaps leaves at another while they wait, and holds the lock over some awaits. */
const visit = fc.record({
  mode: fc.constantFrom('read' as const, 'write' as const),
  holds: fc.nat(2),
  comesLater: fc.boolean(),
  aborts: fc.boolean(),
  fails: fc.boolean(),
});

const nextLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the lock, over schedules', () => {
  it('excludes, is first come first served with no needless wait, hangs nobody and leaks nothing, whoever is cancelled when', async () => {
    const seen = { granted: 0, cancelled: 0, shared: 0 };
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(visit, { minLength: 1, maxLength: 9 }), async (scheduler, visits) => {
        const lock = new ReadWriteLock();
        const waiting: number[] = []; // in the order of coming
        const holding = new Set<number>();
        const outcomes: (string | undefined)[] = visits.map(() => undefined);
        const mode = (id: number): 'read' | 'write' => visits[id]!.mode;

        const hold = async (id: number): Promise<void> => {
          expect(waiting[0]).toBe(id); // nobody overtakes
          waiting.shift();
          const others = [...holding];
          if (mode(id) === 'write') expect(others).toEqual([]);
          else expect(others.map(mode)).not.toContain('write');
          holding.add(id);
          seen.granted += 1;
          if (others.length > 0) seen.shared += 1;
          for (let i = 0; i <= visits[id]!.holds; i += 1) await scheduler.schedule(Promise.resolve(), `${mode(id)} ${id}.${i}`);
          holding.delete(id);
          if (visits[id]!.fails) throw new Error('failed');
        };

        const all = visits.map(async ({ comesLater, aborts, mode, fails }, id) => {
          if (comesLater) await scheduler.schedule(Promise.resolve(), `come ${id}`);
          const abort = new AbortController();
          if (aborts) {
            void scheduler.schedule(Promise.resolve(), `abort ${id}`).then(() => {
              if (waiting.includes(id)) waiting.splice(waiting.indexOf(id), 1);
              abort.abort();
              return undefined;
            });
          }
          waiting.push(id);
          try {
            await lock[mode](() => hold(id), abort.signal);
            outcomes[id] = 'done';
          } catch (error) {
            outcomes[id] = (error as { code?: string }).code ?? (error as Error).message;
            if (outcomes[id] === 'ABORTED') seen.cancelled += 1;
            else expect([outcomes[id], fails]).toEqual(['failed', true]);
          }
        });

        await nextLoop();
        while (scheduler.count() > 0) {
          await scheduler.waitOne();
          await nextLoop();
          // Whoever is first and could come in has come in: no lost wake-up, nobody held up by one who was cancelled.
          const first = waiting[0];
          if (first === undefined) continue;
          expect(holding.size).toBeGreaterThan(0);
          if (mode(first) === 'read') expect([...holding].map(mode)).toContain('write');
        }
        expect(waiting).toEqual([]); // nothing is left to schedule: who waits here waits for ever
        expect(outcomes.filter((outcome) => outcome !== undefined)).toHaveLength(visits.length);
        await Promise.all(all);
        expect(lock.idle).toBe(true);
      }),
      { numRuns: 800 },
    );
    // The property is worth something only where all this did happen.
    expect(seen.granted).toBeGreaterThan(1_000);
    expect(seen.cancelled).toBeGreaterThan(100);
    expect(seen.shared).toBeGreaterThan(100);
  });
});
