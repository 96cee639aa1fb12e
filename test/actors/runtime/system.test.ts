import { describe, expect, it } from 'vitest';
import { dispatch, terminate, wait } from '../../../src/actors/runtime/dispatch.ts';
import { type PID, Process } from '../../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../../src/actors/runtime/system.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

class Worker extends Process {
  readonly name: string;
  readonly log: string[];

  constructor(name: string, log: string[] = []) {
    super();
    this.name = name;
    this.log = log;
  }

  protected override finalize(): void {
    this.log.push(`${this.name} gone`);
  }

  ping(): string {
    return this.name;
  }

  async askBeforeLeaving(gate: Gate, other: PID<Worker>): Promise<string> {
    await gate.promise;
    return dispatch(other, 'ping');
  }
}

describe('ActorSystem.spawn', () => {
  it('counts ids per name, each system on its own', () => {
    const system = new ActorSystem();
    const ids = ['store', 'container', 'store'].map((name) => system.spawn(new Worker(name), { name }).id);
    expect(ids).toEqual(['store(1)', 'container(1)', 'store(2)']);
    expect(system.spawn(new Worker('x')).id).toBe('Worker(1)');
    expect(new ActorSystem().spawn(new Worker('x'), { name: 'store' }).id).toBe('store(1)');
  });

  it('throws what initialize throws, and spawns nothing', async () => {
    class Broken extends Process {
      pending: Promise<unknown> | undefined;
      protected override initialize(): void {
        const self: PID<Broken> = this.self;
        this.pending = dispatch(self, 'ping');
        throw new Error('no such directory');
      }
      ping(): void {}
    }
    const system = new ActorSystem();
    const broken = new Broken();
    expect(() => system.spawn(broken)).toThrow('no such directory');
    expect(system.processes()).toEqual([]);
    expect(await broken.pending?.catch(codeOf)).toBe('ACTOR_TERMINATED');
  });

  it('lets initialize dispatch to the process itself', async () => {
    class Eager extends Process {
      started = new Gate();
      protected override initialize(): void {
        const self: PID<Eager> = this.self;
        void dispatch(self, 'begin');
      }
      begin(): void {
        this.started.open();
      }
    }
    const eager = new Eager();
    new ActorSystem().spawn(eager);
    await eager.started.promise;
    expect(eager.started).toBeDefined();
  });

  it('refuses an object that is spawned already, and a mailbox that holds nothing', () => {
    const system = new ActorSystem();
    const worker = new Worker('a');
    system.spawn(worker);
    expect(() => system.spawn(worker)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => system.spawn(new Worker('b'), { capacity: 0 })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => system.spawn(new Worker('b'), { capacity: Number.NaN })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(system.processes().map(({ id }) => id)).toEqual(['Worker(1)']);
  });
});

describe('ActorSystem.close', () => {
  it('terminates the last spawned first, and waits for it before it goes on', async () => {
    const system = new ActorSystem();
    const log: string[] = [];
    const gate = new Gate();
    const store = system.spawn(new Worker('store', log));
    const user = system.spawn(new Worker('user', log));
    const last = dispatch(user, 'askBeforeLeaving', gate, store);
    await settle();
    const closed = system.close();
    expect(system.close()).toBe(closed);
    expect(await outcome(closed)).toBe('pending');
    gate.open();
    expect(await last).toBe('store'); // the store still answered
    await closed;
    expect(log).toEqual(['user gone', 'store gone']);
    expect(system.processes()).toEqual([]);
    expect(() => system.spawn(new Worker('late'))).toThrow(expect.objectContaining({ code: 'ACTOR_TERMINATED' }));
  });

  it('resolves for an empty system, and where some have gone by themselves', async () => {
    await new ActorSystem().close();
    const system = new ActorSystem();
    const pids = Array.from({ length: 5 }, (_, i) => system.spawn(new Worker(String(i))));
    terminate(pids[2]!);
    await wait(pids[2]!);
    await system.close();
    expect(system.processes()).toEqual([]);
  });

  it('may be begun inside a serial turn, as long as the turn does not await it', async () => {
    class Fatal extends Process {
      closed: Promise<void> | undefined;
      give(system: ActorSystem): void {
        this.closed = system.close();
      }
    }
    const system = new ActorSystem();
    system.spawn(new Worker('other'));
    const fatal = new Fatal();
    await dispatch(system.spawn(fatal, { mailbox: 'serial' }), 'give', system);
    await fatal.closed;
    expect(system.processes()).toEqual([]);
  });
});
