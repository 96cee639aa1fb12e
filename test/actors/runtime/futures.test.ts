import { describe, expect, it } from 'vitest';
import { createActor, toPromise } from 'xstate';
import { throwIfAborted, withAbort } from '../../../src/actors/runtime/abort.ts';
import { defer, dispatch, terminate } from '../../../src/actors/runtime/dispatch.ts';
import { fromOperation } from '../../../src/actors/runtime/operation.ts';
import { Process } from '../../../src/actors/runtime/process.ts';
import { SharedWork } from '../../../src/actors/runtime/shared-work.ts';
import { ActorSystem } from '../../../src/actors/runtime/system.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

/*
 * libprocess's futures, in this runtime. A Future is a promise together with the AbortSignal of its work:
 *   READY, FAILED        fulfilled, rejected
 *   discard()            AbortController.abort(): a request, which the producer heeds when it can
 *   DISCARDED            rejected with ABORTED, when the work has really stopped
 *   undiscardable        a caller without a signal: a SharedWork is not aborted while it waits
 *   abandoned            does not exist: what a terminated process had not begun is rejected with ACTOR_TERMINATED
 */

describe('[FU1] discard', () => {
  it('leaves the future pending until the promise reacts', async () => {
    const abort = new AbortController();
    const reacted = new Gate();
    const work = withAbort('work', () => reacted.promise.then(() => throwIfAborted('work', abort.signal)), abort.signal);
    work.catch(() => undefined);
    abort.abort();
    expect(await outcome(work)).toBe('pending');
    reacted.open();
    expect(await outcome(work)).toBe('rejected ABORTED');
  });

  it('reaches the stage that has begun; when that is READY all the same, the chain is DISCARDED and later stages never run', async () => {
    const { abort, chain, gates, log } = stages();
    abort.abort();
    gates[0].open();
    expect([await outcome(chain), log]).toEqual(['rejected ABORTED', ['first begins', 'first hears']]);
  });

  it('leaves a FAILED stage failed, and later stages never run', async () => {
    const { abort, chain, gates, log } = stages();
    abort.abort();
    gates[0].fail(new Error('disk full'));
    expect([await outcome(chain), log]).toEqual(['rejected disk full', ['first begins', 'first hears']]);
  });

  it('does nothing to a future that has completed', async () => {
    const abort = new AbortController();
    const work = withAbort('work', async () => 'ready', abort.signal);
    expect(await work).toBe('ready');
    abort.abort();
    expect(await work).toBe('ready');
  });

  /** Two stages, one after the other, under one signal. */
  function stages(): { abort: AbortController; chain: Promise<void>; gates: [Gate, Gate]; log: string[] } {
    const abort = new AbortController();
    const gates: [Gate, Gate] = [new Gate(), new Gate()];
    const log: string[] = [];
    const stage = async (name: string, gate: Gate): Promise<void> => {
      throwIfAborted('chain', abort.signal);
      log.push(`${name} begins`);
      abort.signal.addEventListener('abort', () => log.push(`${name} hears`));
      await gate.promise;
    };
    const chain = withAbort('chain', () => stage('first', gates[0]).then(() => stage('second', gates[1])), abort.signal);
    chain.catch(() => undefined);
    return { abort, chain, gates, log };
  }
});

describe('[FU2] undiscardable', () => {
  it('work goes on for a caller that can’t abort, whoever else leaves', async () => {
    const gate = new Gate<string>();
    let aborted = false;
    const work = new SharedWork((signal) => {
      signal.addEventListener('abort', () => (aborted = true));
      return gate.promise;
    });
    const abort = new AbortController();
    const caller = work.join(abort.signal).catch(codeOf);
    const undiscardable = work.join();
    abort.abort();
    expect([await caller, aborted]).toEqual(['ABORTED', false]);
    gate.open('ready');
    expect(await undiscardable).toBe('ready');
  });
});

describe('[FU3] abandonment', () => {
  it('does not exist: what a process leaves behind is rejected, and so is the chain behind that', async () => {
    class Quiet extends Process {
      answer(): string {
        return 'never';
      }
    }
    const pid = new ActorSystem().spawn(new Quiet());
    const abandoned = dispatch(pid, 'answer');
    const chain = abandoned.then(defer(pid, (answer: string) => answer.length));
    chain.catch(() => undefined);
    terminate(pid);
    expect([await outcome(abandoned), await outcome(chain)]).toEqual(['rejected ACTOR_TERMINATED', 'rejected ACTOR_TERMINATED']);
  });
});

describe('[FU4] recover', () => {
  it.each([
    ['failed', () => Promise.reject(new Error('failed')), 'failed'],
    ['discarded', () => withAbort('work', async () => 1, AbortSignal.abort()), 'ABORTED'],
  ])('goes on from a future that is %s', async (_, work, code) => {
    expect(await work().catch((error: unknown) => `recovered from ${codeOf(error)}`)).toBe(`recovered from ${code}`);
  });

  it('clears the discard: what runs next has a signal of its own', async () => {
    const cancelled = createActor(
      fromOperation(async (_: undefined, signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw signal.reason;
      }),
      { input: undefined },
    );
    const recovered = toPromise(cancelled).catch(() =>
      toPromise(
        createActor(
          fromOperation(async (_: undefined, signal) => (signal.aborted ? 'aborted too' : 'compensated')),
          { input: undefined },
        ).start(),
      ),
    );
    cancelled.start();
    await settle();
    cancelled.send({ type: 'cancel' });
    expect(await recovered).toBe('compensated');
  });
});

describe('[FU5] after, associate, select, repair', () => {
  it('after: a deadline is an abort by time, and the work still settles by itself', async () => {
    const stopped = new Gate();
    const deadline = AbortSignal.timeout(1);
    const work = withAbort(
      'work',
      () =>
        new Promise<never>((_, reject) =>
          deadline.addEventListener('abort', () => void stopped.promise.then(() => reject(deadline.reason as Error))),
        ),
      deadline,
    );
    work.catch(() => undefined);
    await new Promise((resolve) => deadline.addEventListener('abort', resolve));
    expect(await outcome(work)).toBe('pending');
    stopped.open();
    await expect(work).rejects.toMatchObject({ code: 'ABORTED', cause: { name: 'TimeoutError' } });
  });

  it('associate: one way, and once: what is set later changes nothing, and the discard of the holder reaches the work', async () => {
    const gate = new Gate<string>();
    const heard = new Gate();
    const work = new SharedWork((signal) => {
      signal.addEventListener('abort', () => heard.open());
      return gate.promise;
    });
    const abort = new AbortController();
    const holder = new Gate<string>();
    holder.open(work.join(abort.signal) as never);
    holder.open('later');
    expect(await outcome(holder.promise)).toBe('pending');
    abort.abort();
    await heard.promise;
    gate.fail(new Error('stopped'));
    expect(await outcome(holder.promise)).toBe('rejected ABORTED');
  });

  it('select: the first to settle, and the others go on', async () => {
    const gates = [new Gate<number>(), new Gate<number>()] as const;
    const first = Promise.race(gates.map(({ promise }) => promise));
    gates[1].open(2);
    expect([await first, await outcome(gates[0].promise)]).toEqual([2, 'pending']);
    gates[0].open(1);
    expect(await gates[0].promise).toBe(1);
  });

  it('repair: a failure becomes a value, a value stays', async () => {
    const repair = (work: Promise<string>): Promise<string> => work.catch((error: unknown) => `repaired ${codeOf(error)}`);
    expect([await repair(Promise.reject(new Error('EIO'))), await repair(Promise.resolve('fine'))]).toEqual(['repaired EIO', 'fine']);
  });
});
