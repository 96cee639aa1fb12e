import { describe, expect, it } from 'vitest';
import { SharedWork, shareWork } from '../../../src/actors/runtime/shared-work.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

/** A run that a test settles by hand, and its signal. */
function run(): { gate: Gate<string>; body: (signal: AbortSignal) => Promise<string>; aborted: () => boolean; runs: () => number } {
  const gate = new Gate<string>();
  const signals: AbortSignal[] = [];
  return {
    gate,
    aborted: () => signals.some((signal) => signal.aborted),
    runs: () => signals.length,
    body(signal) {
      signals.push(signal);
      return gate.promise;
    },
  };
}

describe('SharedWork', () => {
  it('runs once for all who join, and settles as the run does', async () => {
    for (const [end, expected] of [
      [(gate: Gate<string>) => gate.open('layers'), 'layers'],
      [(gate: Gate<string>) => gate.fail(new Error('EIO')), 'EIO'],
    ] as const) {
      const { gate, body, runs } = run();
      const work = new SharedWork(body);
      const callers = [work.join(), work.join(new AbortController().signal), work.join()].map((caller) => caller.catch(codeOf));
      expect(work.callers).toBe(3);
      end(gate);
      expect(await Promise.all(callers)).toEqual([expected, expected, expected]);
      await work.settled;
      expect([runs(), work.callers]).toEqual([1, 0]);
    }
  });

  it('lets one of several leave at once, and goes on for the others', async () => {
    const { gate, body, aborted } = run();
    const work = new SharedWork(body);
    const abort = new AbortController();
    const leaver = work.join(abort.signal);
    const stayer = work.join();
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(leaver).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    expect([aborted(), work.callers, await outcome(stayer)]).toEqual([false, 1, 'pending']);
    gate.open('layers');
    expect(await stayer).toBe('layers');
  });

  it('aborts the run when the last one leaves, who waits until it has settled', async () => {
    const { gate, body, aborted } = run();
    const work = new SharedWork(body);
    const aborts = [new AbortController(), new AbortController()] as const;
    const callers = aborts.map(({ signal }) => work.join(signal).catch(codeOf));
    aborts[0].abort();
    expect(await callers[0]).toBe('ABORTED');
    aborts[1].abort();
    expect([aborted(), work.joinable, await outcome(callers[1]!)]).toEqual([true, false, 'pending']);
    expect(await work.join().catch(codeOf)).toBe('ABORTED');
    gate.open('in spite of it');
    expect(await callers[1]).toBe('ABORTED');
  });

  it('neither counts nor runs for a caller that is aborted already, and ignores an abort after the end', async () => {
    const { gate, body, aborted } = run();
    const work = new SharedWork(body);
    expect(await work.join(AbortSignal.abort()).catch(codeOf)).toBe('ABORTED');
    expect([work.callers, aborted()]).toEqual([0, false]);
    const abort = new AbortController();
    const caller = work.join(abort.signal);
    gate.open('layers');
    expect(await caller).toBe('layers');
    abort.abort();
    expect([aborted(), work.callers]).toEqual([false, 0]);
  });

  it('fails as a run that throws at once, which is nobody’s unhandled rejection', async () => {
    const work = new SharedWork<string>(() => {
      throw new Error('no promise at all');
    });
    await work.settled;
    expect(await work.join().catch(codeOf)).toBe('no promise at all');
  });
});

describe('shareWork', () => {
  it('joins the run of the same key, and forgets it when it has settled', async () => {
    const table = new Map<string, SharedWork<string>>();
    const [one, two] = [run(), run()];
    const callers = [shareWork(table, 'a', one.body), shareWork(table, 'a', one.body), shareWork(table, 'b', two.body)];
    one.gate.open('1');
    two.gate.fail(new Error('2'));
    expect(await Promise.all(callers.map((caller) => caller.catch(codeOf)))).toEqual(['1', '1', '2']);
    expect([one.runs(), two.runs(), table.size]).toEqual([1, 1, 0]);
    const again = run();
    again.gate.open('3');
    expect(await shareWork(table, 'b', again.body)).toBe('3');
  });

  it('begins anew after an aborted run, when that has settled; the end of the old one takes nothing from the new (R7)', async () => {
    const table = new Map<string, SharedWork<string>>();
    const [old, fresh] = [run(), run()];
    const abort = new AbortController();
    const left = shareWork(table, 'a', old.body, abort.signal).catch(codeOf);
    await settle();
    abort.abort();
    const impatient = new AbortController();
    const callers = [shareWork(table, 'a', fresh.body), shareWork(table, 'a', fresh.body)];
    const gone = shareWork(table, 'a', fresh.body, impatient.signal).catch(codeOf);
    await settle();
    impatient.abort();
    expect(await gone).toBe('ABORTED'); // it had begun nothing, so it need not wait
    expect([fresh.runs(), await outcome(callers[0]!)]).toEqual([0, 'pending']);
    old.gate.fail(new Error('stopped'));
    expect(await left).toBe('ABORTED');
    await settle();
    expect([fresh.runs(), table.size]).toEqual([1, 1]);
    expect(table.get('a')?.callers).toBe(2);
    fresh.gate.open('layers');
    expect(await Promise.all(callers)).toEqual(['layers', 'layers']);
    await settle();
    expect([fresh.runs(), table.size]).toEqual([1, 0]);
  });

  it('begins nothing for a caller that is aborted already', async () => {
    const table = new Map<string, SharedWork<string>>();
    const { body, runs } = run();
    expect(await shareWork(table, 'a', body, AbortSignal.abort()).catch(codeOf)).toBe('ABORTED');
    expect([runs(), table.size]).toEqual([0, 0]);
  });

  it('takes only its own entry out: one that was put in its place stays', async () => {
    const table = new Map<string, SharedWork<string>>();
    const [old, fresh] = [run(), run()];
    const first = shareWork(table, 'a', old.body);
    await settle();
    table.delete('a'); // whoever owns the table wants the next one to begin anew
    const second = shareWork(table, 'a', fresh.body);
    await settle();
    old.gate.open('old');
    expect(await first).toBe('old');
    await settle();
    expect(table.size).toBe(1);
    fresh.gate.open('fresh');
    expect(await second).toBe('fresh');
  });
});
