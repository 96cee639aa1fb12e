import { ActorSystem } from '../../src/actors/runtime/system.ts';
import { dispatch } from '../../src/actors/runtime/dispatch.ts';
import { Process } from '../../src/actors/runtime/process.ts';
import type { Experiment } from '../experiment.ts';

/** One dispatch to an actor that answers at once, awaited before the next: microseconds. */
export const dispatchRoundTrip: Experiment = {
  name: 'dispatch',
  rounds: 5,
  rows: [{ name: 'dispatch', work: 'dispatch to an actor and its answer', bound: 5, unit: 'us' }],
  prepare: async () => {
    const system = new ActorSystem();
    const counter = system.spawn(new Counter());
    return [
      {
        name: 'rootwright',
        run: async () => {
          const start = performance.now();
          for (let turn = 0; turn < TURNS; turn++) await dispatch(counter, 'add', 1);
          return ((performance.now() - start) * 1000) / TURNS;
        },
        close: () => system.close(),
      },
    ];
  },
};

class Counter extends Process {
  #sum = 0;
  add(count: number): number {
    return (this.#sum += count);
  }
}

const TURNS = 100_000;
