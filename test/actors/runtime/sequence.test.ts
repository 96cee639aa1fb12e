import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sequence } from '../../../src/actors/runtime/sequence.ts';
import { LIMITS } from '../../../src/limits.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

describe('Sequence', () => {
  it('[SQ1] begins each when the previous one has settled, also where that one failed', async () => {
    const sequence = new Sequence();
    const log: string[] = [];
    const gates = [new Gate(), new Gate(), new Gate()] as const;
    const all = gates.map((gate, i) =>
      sequence.add(async () => {
        log.push(`${i}+`);
        await gate.promise;
        log.push(`${i}-`);
        return i;
      }),
    );
    const failed = all[1]!.catch(codeOf);
    expect(log).toEqual([]); // never on the stack of the one who adds
    await settle();
    expect(log).toEqual(['0+']);
    gates[0].open();
    await settle();
    expect(log).toEqual(['0+', '0-', '1+']);
    gates[1].fail(new Error('second'));
    expect(await failed).toBe('second');
    gates[2].open();
    expect(await all[2]).toBe(2);
    expect(log).toEqual(['0+', '0-', '1+', '2+', '2-']);
  });

  it('[SQ2] skips an entry that is aborted before it begins, and only that one', async () => {
    const sequence = new Sequence();
    const log: number[] = [];
    const gate = new Gate();
    const abort = new AbortController();
    const first = sequence.add(() => gate.promise);
    const [second, third] = [1, 2].map((i) => sequence.add(async () => log.push(i), i === 1 ? abort.signal : undefined));
    await settle();
    abort.abort(new Error('not needed'));
    expect(await second!.catch(codeOf)).toBe('ABORTED'); // at once: the first is still under way
    gate.open();
    await Promise.all([first, third]);
    expect(log).toEqual([2]);
    expect(await sequence.add(async () => 'never', abort.signal).catch(codeOf)).toBe('ABORTED');
  });

  it('[SQ2] hands the signal to the one under way, and goes on when that one has really stopped', async () => {
    const sequence = new Sequence();
    const abort = new AbortController();
    const stopped = new Gate();
    const first = sequence.add(async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await stopped.promise;
      throw signal.reason;
    }, abort.signal);
    const second = sequence.add(async () => 'second');
    await settle();
    abort.abort(new Error('stop'));
    expect([await outcome(first), await outcome(second)]).toEqual(['pending', 'pending']);
    stopped.open();
    expect([await first.catch(codeOf), await second]).toEqual(['stop', 'second']);
  });

  it('[SQ3] discards all that has not begun when it is closed, and waits for the one under way', async () => {
    const sequence = new Sequence();
    const gate = new Gate();
    let aborted = false;
    const log: number[] = [];
    const first = sequence.add((signal) => {
      signal.addEventListener('abort', () => (aborted = true));
      return gate.promise;
    });
    const rest = [1, 2, 3].map((i) => sequence.add(async () => log.push(i)).catch(codeOf));
    await settle();
    const closed = sequence.close();
    expect(await Promise.all(rest)).toEqual(['ACTOR_TERMINATED', 'ACTOR_TERMINATED', 'ACTOR_TERMINATED']);
    expect(await sequence.add(async () => 'late').catch(codeOf)).toBe('ACTOR_TERMINATED');
    expect([await outcome(closed), aborted]).toEqual(['pending', false]);
    gate.open();
    await Promise.all([first, closed]);
    await sequence.close();
    expect(log).toEqual([]);
  });

  it('[SQ3] discards also the first where it is closed before that has begun', async () => {
    const sequence = new Sequence();
    const first = sequence.add(async () => 'ran').catch(codeOf);
    await sequence.close();
    expect(await first).toBe('ACTOR_TERMINATED');
  });

  it('goes on after a body that throws at once', async () => {
    const sequence = new Sequence();
    const thrown = sequence.add((): Promise<never> => {
      throw new Error('no promise at all');
    });
    expect([await thrown.catch(codeOf), await sequence.add(async () => 'next')]).toEqual(['no promise at all', 'next']);
  });

  it('refuses more entries than its limit', async () => {
    const sequence = new Sequence();
    const gate = new Gate();
    const first = sequence.add(() => gate.promise);
    await settle();
    const abort = new AbortController();
    const entries = Array.from({ length: LIMITS.mailboxTurns }, () => sequence.add(async () => undefined));
    expect(await sequence.add(async () => undefined, abort.signal).catch(codeOf)).toBe('MAILBOX_FULL');
    const closed = sequence.close();
    gate.open();
    await Promise.allSettled([...entries, first, closed]);
  });

  it('[SQ4] under random load: one at a time, in order, each entry settles once, whoever is aborted', async () => {
    const entry = fc.record({ awaits: fc.nat(3), fails: fc.boolean(), aborts: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(entry, { minLength: 1, maxLength: 12 }), fc.boolean(), async (scheduler, entries, closes) => {
        const sequence = new Sequence();
        const started: number[] = [];
        let underWay = 0;
        const all = entries.map(async ({ awaits, fails, aborts }, id) => {
          const abort = new AbortController();
          if (aborts) void scheduler.schedule(Promise.resolve(), `abort ${id}`).then(() => abort.abort());
          const result = await sequence
            .add(async () => {
              started.push(id);
              underWay += 1;
              expect(underWay).toBe(1);
              for (let i = 0; i < awaits; i += 1) await scheduler.schedule(Promise.resolve(), `${id}.${i}`);
              underWay -= 1;
              if (fails) throw new Error('failed');
              return 'done';
            }, abort.signal)
            .catch(codeOf);
          const ran = started.includes(id);
          expect(result).toBe(ran ? (fails ? 'failed' : 'done') : abort.signal.aborted ? 'ABORTED' : 'ACTOR_TERMINATED');
        });
        const closed = closes ? scheduler.schedule(Promise.resolve(), 'close').then(() => sequence.close()) : undefined;
        await scheduler.waitFor(Promise.all([...all, closed]));
        expect(started).toEqual(started.toSorted((a, b) => a - b));
        if (!closes && entries.every(({ aborts }) => !aborts)) expect(started).toHaveLength(entries.length);
        await sequence.close();
        expect(underWay).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
