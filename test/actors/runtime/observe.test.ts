import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, describe, expect, it } from 'vitest';
import { dispatch, terminate, wait } from '../../../src/actors/runtime/dispatch.ts';
import { Process } from '../../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../../src/actors/runtime/system.ts';
import { Gate, settle } from './gate.ts';

class Worker extends Process {
  async work(gate: Gate): Promise<void> {
    await gate.promise;
  }
  boom(): never {
    throw new Error('boom');
  }
  view(system: ActorSystem): string | undefined {
    return system.processes()[0]?.method;
  }
  protected override finalize(): void {
    throw new Error('finalize failed');
  }
}

const subscriptions: (() => void)[] = [];
afterEach(() => subscriptions.splice(0).forEach((end) => end()));

function on(channel: string, hear: (message: unknown) => void): void {
  subscribe(channel, hear);
  subscriptions.push(() => unsubscribe(channel, hear));
}

describe('the view of all processes', () => {
  it('shows queue, turns, the current method, state and times', async () => {
    const system = new ActorSystem();
    const gate = new Gate();
    const serial = system.spawn(new Worker(), { name: 'serial', mailbox: 'serial' });
    const interleaved = system.spawn(new Worker(), { name: 'interleaved' });
    const turns = [serial, serial, serial, interleaved, interleaved].map((pid) => dispatch(pid, 'work', gate));
    await settle();
    expect(system.processes()).toMatchObject([
      { id: 'serial(1)', mailbox: 'serial', state: 'running', queued: 2, turns: 1, unsettled: 1, method: 'work' },
      { id: 'interleaved(1)', mailbox: 'interleaved', state: 'running', queued: 0, turns: 2, unsettled: 2, method: undefined },
    ]);
    terminate(serial, { inject: false });
    terminate(interleaved);
    expect(system.processes()).toMatchObject([{ state: 'draining' }, { state: 'terminating' }]);
    gate.open();
    await Promise.all([...turns, wait(serial), wait(interleaved)]);
    expect(system.processes()).toEqual([]);
  });

  it('sums up time in the queue and in turns', async () => {
    const system = new ActorSystem();
    const pid = system.spawn(new Worker(), { mailbox: 'serial' });
    const gate = new Gate();
    const turns = [dispatch(pid, 'work', gate), dispatch(pid, 'work', gate), dispatch(pid, 'view', system)];
    await settle();
    gate.open();
    expect((await Promise.all(turns)).at(-1)).toBe('view');
    const [info] = system.processes();
    expect(info).toMatchObject({ queued: 0, turns: 3, unsettled: 0, method: undefined });
    for (const times of [info!.queuedMs, info!.ranMs]) {
      expect(times.max).toBeGreaterThan(0);
      expect(times.total).toBeGreaterThanOrEqual(times.max);
    }
  });
});

describe('diagnostics channels', () => {
  it('tell of processes that come and go, and of a finalize that fails', async () => {
    const heard: unknown[] = [];
    on('rootwright:process', (message) => heard.push(message));
    const system = new ActorSystem();
    system.spawn(new Worker(), { name: 'w', mailbox: 'serial' });
    await system.close();
    expect(heard).toEqual([
      { type: 'spawned', id: 'w(1)', mailbox: 'serial' },
      { type: 'terminated', id: 'w(1)', mailbox: 'serial', error: new Error('finalize failed') },
    ]);
  });

  it('tell of each turn when it is answered, with times, and of its failure', async () => {
    const heard: Record<string, unknown>[] = [];
    on('rootwright:turn', (message) => heard.push(message as Record<string, unknown>));
    const system = new ActorSystem();
    const pid = system.spawn(new Worker(), { name: 'w' });
    const gate = new Gate();
    const work = dispatch(pid, 'work', gate);
    await dispatch(pid, 'boom').catch(() => undefined);
    gate.open();
    await work;
    expect(heard.map(({ id, method, error }) => ({ id, method, error }))).toEqual([
      { id: 'w(1)', method: 'boom', error: new Error('boom') },
      { id: 'w(1)', method: 'work', error: undefined },
    ]);
    expect(heard.map((event) => 'error' in event)).toEqual([true, false]);
    for (const event of heard) {
      expect(event['queuedMs']).toBeGreaterThanOrEqual(0);
      expect(event['answeredMs']).toBeGreaterThanOrEqual(event['ranMs'] as number);
    }
  });

  it('survive a subscriber that throws: turns are answered, and others hear of them', async () => {
    const uncaught: unknown[] = [];
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => uncaught.push(error));
    try {
      const heard: unknown[] = [];
      for (const name of ['rootwright:turn', 'rootwright:process']) {
        on(name, () => {
          throw new Error('bad observer');
        });
        on(name, (message) => heard.push(message));
      }
      const system = new ActorSystem();
      const gate = new Gate();
      gate.open();
      const pid = system.spawn(new Worker(), { mailbox: 'serial' });
      await Promise.all([dispatch(pid, 'work', gate), dispatch(pid, 'work', gate)]);
      await system.close();
      await settle();
      expect(heard).toHaveLength(4);
      expect(uncaught).toHaveLength(4); // Node reports each as the subscriber's own
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of before) process.on('uncaughtException', listener);
    }
  });
});
