import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createActor, initialTransition, transition, waitFor } from 'xstate';
import { getShortestPaths } from 'xstate/graph';
import { containerMachine, type ContainerEvent } from '../../src/actors/container.ts';
import { repository } from '../support/repository.ts';

const work = (): Promise<boolean> => Promise.resolve(true);
const begin: ContainerEvent = { type: 'begin', work };
const destroy: ContainerEvent = { type: 'destroy' };
const withdraw: ContainerEvent = { type: 'withdraw' };
const provision = (id: string): ContainerEvent => ({ type: 'provision', id, work });
const settled = (id: string, left: boolean): ContainerEvent => ({ type: `xstate.done.actor.${id}`, actorId: id, output: left });
const failed = (id: string): ContainerEvent => ({ type: `xstate.error.actor.${id}`, actorId: id, error: new Error('x') });
const [a, b] = [provision('a'), provision('b')];

/** Runs events through the pure transition function: the state, and what the machine asked for in the last step. */
function run(from: { occupied: boolean; broken?: boolean }, ...events: readonly ContainerEvent[]): { state: string; asked: string[] } {
  let [snapshot, actions] = initialTransition(containerMachine, { broken: false, ...from });
  for (const event of events) [snapshot, actions] = transition(containerMachine, snapshot, event);
  const state = typeof snapshot.value === 'string' ? snapshot.value : `destroying.${snapshot.value.destroying}`;
  return { state, asked: actions.flatMap(({ type, params }) => describeAction(type, params)) };
}

function describeAction(type: string, params: unknown): string[] {
  const { id, to, targetId, event } = (params ?? {}) as { id?: string; to?: unknown; targetId?: string; event?: { type: string } };
  if (type === 'xstate.spawnChild') return [`start ${id}`];
  if (type === 'xstate.sendTo') return [`${event?.type} ${targetId ?? String(to)}`];
  return [];
}

describe('the container machine', () => {
  it.each([
    ['a new container', false, [], 'absent'],
    ['a recovered one', true, [], 'provisioned'],
    ['a provision begins', false, [a], 'provisioning'],
    ['a provision that leaves a rootfs', false, [a, settled('a', true)], 'provisioned'],
    ['a provision that leaves nothing', false, [a, settled('a', false)], 'absent'],
    ['work that breaks may leave something', false, [a, failed('a')], 'provisioned'],
    ['one of two provisions ends', false, [a, b, settled('a', true)], 'provisioning'],
    ['both provisions end', false, [a, b, settled('b', true), settled('a', true)], 'provisioned'],
    ['a second image', true, [a], 'provisioning'],
    ['a destroy waits for the lock', true, [destroy], 'destroying.waiting'],
    ['a destroy begins', true, [destroy, begin], 'destroying.working'],
    ['a destroy that ends well', true, [destroy, begin, settled('takeApart', false)], 'absent'],
    ['a destroy that fails', true, [destroy, begin, failed('takeApart')], 'failed'],
    ['a provision after a failed destroy is not heard', true, [destroy, begin, failed('takeApart'), a], 'failed'],
    ['a failed destroy again', true, [destroy, begin, failed('takeApart'), destroy, begin, settled('takeApart', false)], 'absent'],
    ['a failed destroy again, by one that had waited', true, [destroy, begin, failed('takeApart'), begin], 'destroying.working'],
    ['a provision while destroying is not heard', true, [destroy, a], 'destroying.waiting'],
    ['destroy during provision', false, [a, destroy], 'destroying.cancelling'],
    ['destroy holds the lock before the provision has settled', false, [a, destroy, begin], 'destroying.cancelling'],
    ['destroy goes on when the provision has settled', false, [a, destroy, begin, settled('a', true)], 'destroying.working'],
    ['destroy goes on when every provision has settled', false, [a, b, destroy, begin, settled('a', true)], 'destroying.cancelling'],
    ['the provision settles before the lock comes', false, [a, destroy, settled('a', true)], 'destroying.waiting'],
    ['a destroy is taken back', true, [destroy, withdraw], 'provisioned'],
    ['a destroy of nothing is taken back', false, [a, destroy, settled('a', false), withdraw], 'absent'],
    ['one of two destroys is taken back', true, [destroy, destroy, withdraw], 'destroying.waiting'],
    ['both destroys are taken back', true, [destroy, destroy, withdraw, withdraw], 'provisioned'],
    ['a destroy is taken back while provisions settle', false, [a, destroy, withdraw], 'provisioning'],
    ['a destroy that has begun is not taken back', true, [destroy, begin, withdraw], 'destroying.working'],
    ['nor one that holds the lock already', false, [a, destroy, begin, withdraw, settled('a', true)], 'destroying.working'],
    ['a second attempt is taken back', true, [destroy, begin, failed('takeApart'), destroy, withdraw], 'failed'],
  ] as ReadonlyArray<readonly [string, boolean, readonly ContainerEvent[], string]>)('%s', (_, occupied, events, state) => {
    expect(run({ occupied }, ...events).state).toBe(state);
  });

  it('starts work, and aborts it, by the id that it was given', () => {
    expect(run({ occupied: false }, a).asked).toEqual(['start a']);
    expect(run({ occupied: false }, a, b, { type: 'cancel', id: 'b' }).asked).toEqual(['cancel b']);
    expect(run({ occupied: false }, a, { type: 'cancel', id: 'b' }).asked).toEqual([]);
    expect(run({ occupied: false }, a, b, destroy).asked).toEqual(['cancel a', 'cancel b']);
    expect(run({ occupied: true }, destroy, begin).asked).toEqual(['start takeApart']);
  });

  it('[MC2] starts no clean-up while a provision is under way, whatever comes in which order', () => {
    const events: ContainerEvent[] = [
      a,
      b,
      destroy,
      begin,
      withdraw,
      settled('a', true),
      settled('b', false),
      settled('takeApart', false),
      failed('takeApart'),
    ];
    const paths = getShortestPaths(containerMachine, {
      input: { occupied: false, broken: false },
      events: ({ context, value }) =>
        events.filter((event) => {
          if (event.type === 'provision') return context.running.length < 2 && !context.running.includes(event.id);
          if (!('actorId' in event)) return event.type !== 'destroy' || context.claims < 2;
          return context.running.includes(event.actorId) || (event.actorId === 'takeApart' && JSON.stringify(value).includes('working'));
        }),
      serializeState: ({ value, context }) =>
        JSON.stringify([value, context.running, context.occupied, context.broken, context.claims, context.takeApart === work]),
      limit: 20_000,
    });
    const values = new Set(paths.map(({ state }) => JSON.stringify(state.value)));
    expect([...values].toSorted()).toEqual(
      [
        '"absent"',
        '"failed"',
        '"provisioned"',
        '"provisioning"',
        ...['cancelling', 'waiting', 'working'].map((value) => `{"destroying":"${value}"}`),
      ].toSorted(),
    );
    for (const { state } of paths) {
      if (JSON.stringify(state.value).includes('working')) expect(state.context.running).toEqual([]);
      if (state.value === 'provisioned' || state.value === 'absent') expect([state.context.running, state.context.claims]).toEqual([[], 0]);
    }
  });

  it('is drawn in docs/explanation/lifecycle.md with every state', () => {
    const drawing = /```mermaid\n(.*?)```/s.exec(readFileSync(join(repository, 'docs/explanation/lifecycle.md'), 'utf8'))?.[1] ?? '';
    const drawn = new Set([...drawing.matchAll(/\w+/g)].map(([word]) => word));
    const states = Object.keys(containerMachine.states).filter((name) => name !== 'idle');
    for (const name of [...states, ...Object.keys(containerMachine.states['destroying']?.states ?? {})]) expect(drawn).toContain(name);
    expect(states).toHaveLength(5);
  });

  it('runs the work that the events bring, and leaves a state only when it has settled', async () => {
    const log: string[] = [];
    const actor = createActor(containerMachine, { input: { occupied: false, broken: false } }).start();
    let finish!: (left: boolean) => void;
    actor.send({
      type: 'provision',
      id: 'a',
      work: (signal) => {
        signal.addEventListener('abort', () => log.push('aborted'));
        return new Promise((resolve) => (finish = resolve));
      },
    });
    await Promise.resolve();
    actor.send(destroy);
    actor.send({ type: 'begin', work: () => Promise.resolve(log.push('taken apart') === 0) });
    await Promise.resolve();
    expect(log).toEqual(['aborted']);
    finish(true);
    await waitFor(actor, ({ value }) => value === 'absent');
    expect(log).toEqual(['aborted', 'taken apart']);
  });
});
