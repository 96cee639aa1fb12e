import { describe, expect, it } from 'vitest';
import { assign, createActor, sendTo, setup, toPromise } from 'xstate';
import { fromOperation } from '../../../src/actors/runtime/operation.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

interface Context {
  image: string;
  rootfs?: string;
  error?: unknown;
}

/** Provisions, and takes apart what it has provisioned when told so meanwhile. */
function containerMachine(mount: (input: string, signal: AbortSignal) => Promise<string>, log: string[]) {
  return setup({
    types: { input: {} as { image: string }, context: {} as Context, output: {} as Context, events: {} as { type: 'destroy' } },
    actors: {
      mount: fromOperation(mount),
      unmount: fromOperation(async () => void log.push('unmount')),
    },
  }).createMachine({
    context: ({ input }) => ({ image: input.image }),
    initial: 'mounting',
    states: {
      mounting: {
        invoke: {
          src: 'mount',
          id: 'mount',
          input: ({ context }) => context.image,
          onDone: { target: 'mounted', actions: assign({ rootfs: ({ event }) => event.output }) },
          onError: { target: 'unmounting', actions: assign({ error: ({ event }) => event.error }) },
        },
        on: { destroy: { actions: sendTo('mount', { type: 'cancel' }) } },
      },
      mounted: { type: 'final' },
      unmounting: { invoke: { src: 'unmount', input: undefined, onDone: 'unmounted' } },
      unmounted: { type: 'final' },
    },
    output: ({ context }) => context,
  });
}

describe('an operation', () => {
  it('is done with its result, or failed with its error', async () => {
    const logic = fromOperation(async (n: number) => {
      if (n < 0) throw new RangeError('negative');
      return n * 2;
    });
    expect(await toPromise(createActor(logic, { input: 21 }).start())).toBe(42);
    await expect(toPromise(createActor(logic, { input: -1 }).start())).rejects.toThrow(new RangeError('negative'));
  });

  it('begins outside the transition that started it, and fails where it throws at once', async () => {
    let began = false;
    const logic = fromOperation((): Promise<never> => {
      began = true;
      throw new Error('no promise at all');
    });
    const actor = createActor(logic, { input: undefined });
    const ended = toPromise(actor);
    actor.start();
    expect(began).toBe(false);
    await expect(ended).rejects.toThrow('no promise at all');
  });

  it('hears cancel, and is left only when the work has really settled', async () => {
    const log: string[] = [];
    const stopped = new Gate();
    const machine = containerMachine(async (_image, signal) => {
      log.push('mount');
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      log.push('cancelled');
      await stopped.promise;
      log.push('stopped');
      throw signal.reason;
    }, log);
    const actor = createActor(machine, { input: { image: 'x' } });
    const ended = toPromise(actor);
    actor.start();
    await settle();
    actor.send({ type: 'destroy' });
    expect(await outcome(ended)).toBe('pending');
    expect([actor.getSnapshot().value, log]).toEqual(['mounting', ['mount', 'cancelled']]);
    stopped.open();
    expect(codeOf((await ended).error)).toBe('ABORTED');
    expect(log).toEqual(['mount', 'cancelled', 'stopped', 'unmount']);
  });

  it('is done where it finishes in spite of a cancel', async () => {
    const gate = new Gate<string>();
    const actor = createActor(
      fromOperation(() => gate.promise),
      { input: undefined },
    );
    const ended = toPromise(actor);
    actor.start();
    await settle();
    actor.send({ type: 'cancel', reason: new Error('too late') });
    gate.open('made');
    expect(await ended).toBe('made');
  });

  it('never begins where the cancel comes first, and says why', async () => {
    let ran = false;
    const actor = createActor(
      fromOperation(async () => (ran = true)),
      { input: undefined },
    );
    const ended = toPromise(actor);
    actor.start();
    const reason = new Error('changed my mind');
    actor.send({ type: 'cancel', reason });
    await expect(ended).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    expect(ran).toBe(false);
  });

  it('restored from a snapshot is not run again: it fails as interrupted, and the machine compensates', async () => {
    const log: string[] = [];
    let runs = 0;
    const machine = containerMachine(async () => {
      runs += 1;
      return new Promise<string>(() => undefined);
    }, log);
    const doomed = createActor(machine, { input: { image: 'x' } }).start();
    await settle();
    const snapshot = JSON.parse(JSON.stringify(doomed.getPersistedSnapshot())) as ReturnType<typeof doomed.getSnapshot>;
    doomed.stop();
    const restored = createActor(machine, { snapshot, input: { image: 'x' } });
    const ended = toPromise(restored);
    restored.start();
    expect((await ended).error).toMatchObject({ code: 'ABORTED', details: { interrupted: true } });
    expect([runs, log]).toEqual([1, ['unmount']]);
  });

  it('has its signal aborted where its machine is stopped', async () => {
    const aborted = new Gate<unknown>();
    const machine = containerMachine(async (_image, signal) => {
      signal.addEventListener('abort', () => aborted.open(signal.reason));
      return new Promise<string>(() => undefined);
    }, []);
    const actor = createActor(machine, { input: { image: 'x' } }).start();
    await settle();
    actor.stop();
    expect(codeOf(await aborted.promise)).toBe('ABORTED');
  });
});
