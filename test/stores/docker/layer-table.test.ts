import { describe, expect, it } from 'vitest';
import { LayerTable, type LayerRun } from '../../../src/stores/docker/layer-table.ts';

/** A run that ends when the test says so, and only notes that it was told to stop. */
function controlledRun(): {
  run: LayerRun;
  finish: () => void;
  fail: (error: Error) => void;
  aborted: () => boolean;
  runs: () => number;
  tell: (bytes: number) => void;
} {
  let finish: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const outcome = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  let signal: AbortSignal | undefined;
  let onBytes: (bytes: number) => void = () => undefined;
  let runs = 0;
  return {
    run: (listener, given) => {
      runs += 1;
      signal = given;
      onBytes = listener;
      return outcome;
    },
    finish,
    fail,
    aborted: () => signal?.aborted ?? false,
    runs: () => runs,
    tell: (bytes) => onBytes(bytes),
  };
}

const ignore = (): void => undefined;
const never = new AbortController().signal;

describe('a layer that several images want', () => {
  it('[DS5] is unpacked once, and all who wait hear of it', async () => {
    const table = new LayerTable();
    const { run, finish, runs, tell } = controlledRun();
    const heard: string[] = [];
    const first = table.start('d', 'plain', run).join((bytes) => heard.push(`first ${bytes}`), never);
    const second = table.find('d', 'plain')?.join((bytes) => heard.push(`second ${bytes}`), never);
    expect(table.find('d', 'overlay')).toBeUndefined();
    tell(7);
    finish();
    await Promise.all([first, second]);
    expect(runs()).toBe(1);
    expect(heard).toEqual(['first 7', 'second 7']);
    expect(table.find('d', 'plain')).toBeUndefined();
  });

  it('[DS5] goes on when one of three leaves', async () => {
    const table = new LayerTable();
    const { run, finish, aborted } = controlledRun();
    const leaver = new AbortController();
    const work = table.start('d', 'plain', run);
    const waiting = [work.join(ignore, leaver.signal), work.join(ignore, never), work.join(ignore, never)];
    leaver.abort(new Error('changed my mind'));
    await expect(waiting[0]).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'changed my mind' } });
    expect(aborted()).toBe(false);
    finish();
    await Promise.all(waiting.slice(1));
  });

  it('[DS6] is given up when the last one leaves, who waits until it has stopped', async () => {
    const table = new LayerTable();
    const { run, fail, aborted } = controlledRun();
    const [first, last] = [new AbortController(), new AbortController()];
    const work = table.start('d', 'plain', run);
    const firstGone = work.join(ignore, first.signal);
    let lastHasSettled = false;
    const lastGone = work.join(ignore, last.signal).finally(() => (lastHasSettled = true));
    first.abort();
    await expect(firstGone).rejects.toMatchObject({ code: 'ABORTED' });
    last.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect([aborted(), lastHasSettled, work.hasSettled]).toEqual([true, false, false]);
    fail(new Error('stopped'));
    await expect(lastGone).rejects.toMatchObject({ code: 'ABORTED' });
    expect(work.hasSettled).toBe(true);
  });

  it('can be started again while a run that was given up still stops, which then takes nothing away (R7)', async () => {
    const table = new LayerTable();
    const [old, young] = [controlledRun(), controlledRun()];
    const leaver = new AbortController();
    const gone = table.start('d', 'plain', old.run).join(ignore, leaver.signal);
    leaver.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(table.find('d', 'plain')).toBeUndefined();
    const work = table.start('d', 'plain', young.run);
    const waiting = work.join(ignore, never);
    old.fail(new Error('stopped'));
    await expect(gone).rejects.toMatchObject({ code: 'ABORTED' });
    expect(table.find('d', 'plain')).toBe(work);
    young.finish();
    await waiting;
  });

  it('fails for all who wait', async () => {
    const table = new LayerTable();
    const { run, fail } = controlledRun();
    const work = table.start('d', 'plain', run);
    const outcomes = Promise.allSettled([work.join(ignore, never), work.join(ignore, never)]);
    fail(new Error('bad'));
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    expect(table.find('d', 'plain')).toBeUndefined();
  });
});
