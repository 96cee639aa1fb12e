import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dispatch, terminate, wait } from '../../src/actors/runtime/dispatch.ts';
import type { MailboxKind } from '../../src/actors/runtime/observe.ts';
import { type PID, Process } from '../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../src/actors/runtime/system.ts';

type Step = (label: string) => Promise<void>;

class Worker extends Process {
  readonly trace: string[] = [];
  readonly #step: Step;

  constructor(step: Step) {
    super();
    this.#step = step;
  }

  async work(id: number, awaits: number, fails: boolean): Promise<string> {
    this.trace.push(`+${id}`);
    for (let i = 0; i < awaits; i += 1) await this.#step(`${id}.${i}`);
    this.trace.push(`-${id}`);
    if (fails) throw new Error('failed');
    return `answer ${id}`;
  }

  protected override finalize(): void {
    this.trace.push('finalize');
  }
}

const message = fc.record({ awaits: fc.nat(3), fails: fc.boolean(), comesLater: fc.boolean() });
const end = fc.option(fc.record({ inject: fc.boolean(), afterDispatching: fc.nat(8) }));

describe.each<MailboxKind>(['interleaved', 'serial'])('a mailbox that is %s, over schedules', (mailbox) => {
  it('starts turns in the order of dispatch, keeps serial ones apart, and settles every promise, terminated at any point', async () => {
    let discarded = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(message, { minLength: 1, maxLength: 8 }), end, async (scheduler, messages, end) => {
        const step: Step = (label) => scheduler.schedule(Promise.resolve(), label);
        const worker = new Worker(step);
        const system = new ActorSystem();
        const pid = system.spawn(worker, { mailbox });
        const order: number[] = [];
        let gone: Promise<number> | undefined;
        const stop = (inject: boolean): void => {
          terminate(pid, { inject });
          gone ??= wait(pid).then(() => worker.trace.length);
        };
        const all = messages.map(async ({ awaits, fails, comesLater }, id) => {
          if (comesLater) await step(`come ${id}`);
          order.push(id);
          const answer = dispatch(pid, 'work', id, awaits, fails).then(
            (value) => value,
            (error: Error & { code?: string }) => error.code ?? error.message,
          );
          if (end?.afterDispatching === order.length) void step('end').then(() => stop(end.inject));
          const outcome = await answer;
          const began = worker.trace.includes(`+${id}`);
          if (!began) discarded += 1;
          expect(outcome).toBe(began ? (fails ? 'failed' : `answer ${id}`) : 'ACTOR_TERMINATED');
          if (began) expect(worker.trace).toContain(`-${id}`);
        });
        await scheduler.waitFor(Promise.all(all));
        while (scheduler.count() > 0) await scheduler.waitOne();
        stop(true);
        const length = await gone;

        const { trace } = worker;
        const started = trace.filter((entry) => entry.startsWith('+')).map((entry) => Number(entry.slice(1)));
        expect(started).toEqual(order.filter((id) => started.includes(id)));
        if (mailbox === 'serial') expect(trace.slice(0, -1)).toEqual(started.flatMap((id) => [`+${id}`, `-${id}`]));
        expect(trace.filter((entry) => entry === 'finalize')).toHaveLength(1);
        expect([trace.at(-1), trace.length]).toEqual(['finalize', length]); // wait resolved when all was over
        expect(system.processes()).toEqual([]);
      }),
      { numRuns: 500 },
    );
    expect(discarded).toBeGreaterThan(50);
  });
});

/** What a process is asked to do: to ask others, one after the other or all at once, and to wait in between. */
interface Errand {
  readonly asks: readonly { readonly target: number; readonly errand: Errand }[];
  readonly atOnce: boolean;
  readonly awaits: boolean;
}

const errandOfDepth: fc.Memo<Errand> = fc.memo((depth): fc.Arbitrary<Errand> => {
  const asks = depth <= 1 ? fc.constant([]) : fc.array(fc.record({ target: fc.nat(4), errand: errandOfDepth() }), { maxLength: 3 });
  return fc.record({ asks, atOnce: fc.boolean(), awaits: fc.boolean() });
});

class Agent extends Process {
  readonly #agents: PID<Agent>[];
  readonly #step: Step;

  constructor(agents: PID<Agent>[], step: Step) {
    super();
    this.#agents = agents;
    this.#step = step;
  }

  async run({ asks, atOnce, awaits }: Errand, name: string): Promise<void> {
    if (awaits) await this.#step(name);
    const ask = ({ target, errand }: Errand['asks'][number], i: number): Promise<void> =>
      dispatch(this.#agents[target]!, 'run', errand, `${name}.${i}`);
    // A failed ask is no reason to leave the others unobserved.
    if (atOnce) await Promise.allSettled(asks.map(ask)).then((all) => all.forEach((one) => one.status === 'rejected' && this.#fail(one.reason)));
    else for (const [i, one] of asks.entries()) await ask(one, i);
  }

  #fail(error: unknown): never {
    throw error;
  }
}

describe('asks between serial and interleaved processes, over schedules', () => {
  const kinds = fc.array(fc.constantFrom<MailboxKind>('serial', 'serial', 'interleaved'), { minLength: 5, maxLength: 5 });
  const roots = fc.array(fc.record({ target: fc.nat(4), errand: errandOfDepth(4) }), { minLength: 1, maxLength: 5 });

  async function outcomes(scheduler: fc.Scheduler, kinds: MailboxKind[], roots: Errand['asks']): Promise<string[]> {
    const step: Step = (label) => scheduler.schedule(Promise.resolve(), label);
    const system = new ActorSystem();
    const agents: PID<Agent>[] = [];
    for (const mailbox of kinds) agents.push(system.spawn(new Agent(agents, step), { mailbox }));
    const all = roots.map(({ target, errand }, i) =>
      dispatch(agents[target]!, 'run', errand, String(i)).then(
        () => 'done',
        (error: { code?: string }) => String(error.code),
      ),
    );
    const results = await scheduler.waitFor(Promise.all(all)); // a hang is reported here
    await system.close();
    return results;
  }

  it('never hang: what would close a cycle fails with ACTOR_CYCLE, and nothing else fails', async () => {
    let cycles = 0;
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), kinds, roots, async (scheduler, kinds, roots) => {
        const results = await outcomes(scheduler, kinds, roots);
        expect(results.filter((result) => result !== 'done' && result !== 'ACTOR_CYCLE')).toEqual([]);
        cycles += results.filter((result) => result === 'ACTOR_CYCLE').length;
      }),
      { numRuns: 500 },
    );
    expect(cycles).toBeGreaterThan(50);
  });

  it('never fail where every ask goes downwards, or where all mailboxes are interleaved', async () => {
    /** Each ask goes to a process with a higher number than the one that asks; what can't is left out. */
    const downwards = ({ asks, ...rest }: Errand, above: number): Errand => ({
      ...rest,
      asks: asks.filter(({ target }) => target > above).map(({ target, errand }) => ({ target, errand: downwards(errand, target) })),
    });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), kinds, roots, fc.boolean(), async (scheduler, kinds, roots, interleaved) => {
        const results = interleaved
          ? await outcomes(
              scheduler,
              kinds.map(() => 'interleaved' as const),
              roots,
            )
          : await outcomes(
              scheduler,
              kinds,
              roots.map(({ target, errand }) => ({ target, errand: downwards(errand, target) })),
            );
        expect(new Set(results)).toEqual(new Set(['done']));
      }),
      { numRuns: 400 },
    );
  });
});
