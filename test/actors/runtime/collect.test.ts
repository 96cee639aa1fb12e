import { describe, expect, it } from 'vitest';
import { collect, settleAll } from '../../../src/actors/runtime/collect.ts';
import { codeOf, Gate, outcome } from './gate.ts';

describe('[CO1] collect', () => {
  it('has the values in the order of the list, whichever came first; none for an empty list', async () => {
    const gates = [new Gate<number>(), new Gate<number>()] as const;
    const all = collect(gates.map(({ promise }) => promise));
    gates[1].open(2);
    expect(await outcome(all)).toBe('pending');
    gates[0].open(1);
    expect(await all).toEqual([1, 2]);
    expect(await collect([])).toEqual([]);
    expect(await collect(new Set([1, Promise.resolve(2)]))).toEqual([1, 2]);
  });

  it('fails with the first failure in time, but only when all have settled (R9)', async () => {
    const gates = [new Gate(), new Gate(), new Gate()] as const;
    const all = collect(gates.map(({ promise }) => promise));
    all.catch(() => undefined);
    gates[2].fail(new Error('third, first in time'));
    gates[0].fail(new Error('first, second in time'));
    expect(await outcome(all)).toBe('pending');
    gates[1].open();
    expect(await all.catch(codeOf)).toBe('third, first in time');
  });

  it('aborts the others at the first failure where it is told how, and waits for them; also where a member was aborted', async () => {
    const abort = new AbortController();
    const cleanedUp = new Gate();
    let stopped = false;
    const worker = async (): Promise<never> => {
      await new Promise((resolve) => abort.signal.addEventListener('abort', resolve));
      await cleanedUp.promise;
      stopped = true;
      throw abort.signal.reason;
    };
    const reason = Object.assign(new Error('aborted'), { code: 'ABORTED' });
    const all = collect([worker(), Promise.reject(reason)], abort);
    all.catch(() => undefined);
    expect([await outcome(all), abort.signal.reason]).toEqual(['pending', reason]);
    cleanedUp.open();
    await expect(all).rejects.toBe(reason);
    expect(stopped).toBe(true);
  });
});

describe('[CO2] settleAll', () => {
  it('waits for all and reports values and failures apart, never failing itself', async () => {
    const gate = new Gate<number>();
    const all = settleAll([Promise.resolve(1), Promise.reject(new Error('b')), gate.promise, Promise.reject(new Error('d')), 5]);
    expect(await outcome(all)).toBe('pending');
    gate.open(3);
    expect(await all).toEqual({ values: [1, 3, 5], errors: [new Error('b'), new Error('d')] });
    expect(await settleAll([])).toEqual({ values: [], errors: [] });
  });

  it('reports on a single one, whatever ended it', async () => {
    expect(codeOf((await settleAll([Promise.reject(AbortSignal.abort(new Error('aborted')).reason as Error)])).errors[0])).toBe('aborted');
  });
});
