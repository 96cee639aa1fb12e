import { describe, expect, it } from 'vitest';
import { defer, dispatch, tell, terminate, wait } from '../../../src/actors/runtime/dispatch.ts';
import type { MailboxKind } from '../../../src/actors/runtime/observe.ts';
import { type PID, Process } from '../../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../../src/actors/runtime/system.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

const KINDS: MailboxKind[] = ['interleaved', 'serial'];

class Clerk extends Process {
  readonly log: string[] = [];
  stopReason: unknown;

  protected override initialize(): void {
    this.log.push('initialize');
  }

  protected override finalize(): void {
    this.log.push('finalize');
  }

  write(text: string): number {
    return this.log.push(text);
  }

  async work(name: string, gate: Gate): Promise<string> {
    this.log.push(`${name}+`);
    await gate.promise;
    this.log.push(`${name}-`);
    return name;
  }

  async listen(): Promise<never> {
    this.log.push('listen');
    return new Promise((_, reject) => this.signal.addEventListener('abort', () => reject(this.signal.reason as Error)));
  }

  boom(): never {
    throw new TypeError('boom');
  }

  async boomLater(): Promise<never> {
    await settle();
    throw new TypeError('boom later');
  }

  stopSelf(): string {
    terminate(this.self);
    return 'stopped';
  }
}

function spawn(mailbox: MailboxKind, capacity?: number): { clerk: Clerk; pid: PID<Clerk>; system: ActorSystem } {
  const system = new ActorSystem();
  const clerk = new Clerk();
  return { clerk, system, pid: system.spawn(clerk, { mailbox, ...(capacity === undefined ? {} : { capacity }) }) };
}

describe.each(KINDS)('dispatch to a process with a mailbox that is %s', (kind) => {
  it('answers with what the method returns or resolves to', async () => {
    const { pid, clerk } = spawn(kind);
    const gate = new Gate();
    const work = dispatch(pid, 'work', 'w', gate);
    expect(clerk.log).toEqual(['initialize']);
    gate.open();
    expect(await work).toBe('w');
    expect(await dispatch(pid, 'write', 'x')).toBe(4);
  });

  it('fails with what the method throws, and goes on', async () => {
    const { pid } = spawn(kind);
    await expect(dispatch(pid, 'boom')).rejects.toThrow(new TypeError('boom'));
    await expect(dispatch(pid, 'boomLater')).rejects.toThrow(new TypeError('boom later'));
    expect(await dispatch(pid, 'write', 'alive')).toBe(2);
  });

  it('takes no unobserved failure for an unhandled rejection or an uncaught exception', async () => {
    const { pid, system } = spawn(kind);
    const seen: unknown[] = [];
    const note = (error: unknown): number => seen.push(error);
    process.on('unhandledRejection', note).on('uncaughtException', note);
    try {
      void dispatch(pid, 'boom');
      void dispatch(pid, 'boomLater');
      tell(pid, 'boom');
      void defer(pid, () => Promise.reject(new Error('deferred')))();
      await settle();
      await system.close();
      void dispatch(pid, 'boom');
      await settle();
    } finally {
      process.off('unhandledRejection', note).off('uncaughtException', note);
    }
    expect(seen).toEqual([]);
  });

  it('returns before the turn starts, also from within a turn', async () => {
    const { pid, clerk } = spawn(kind);
    const other = new ActorSystem().spawn(new Clerk());
    await defer(other, () => {
      void dispatch(pid, 'write', 'later');
      clerk.log.push('first');
    })();
    await settle();
    expect(clerk.log).toEqual(['initialize', 'first', 'later']);
  });

  it('awaits any thenable', async () => {
    const { pid } = spawn(kind);
    // eslint-disable-next-line unicorn/no-thenable -- that is the point
    expect(await defer(pid, () => ({ then: (resolve: (value: string) => void) => resolve('thenable') }))()).toBe('thenable');
  });

  it('refuses more turns than its capacity, with MAILBOX_FULL, until one has started', async () => {
    const { pid } = spawn(kind, 2);
    const gate = new Gate();
    const first = [dispatch(pid, 'work', 'a', gate), dispatch(pid, 'write', 'b')];
    const refused = await dispatch(pid, 'write', 'c').catch(codeOf);
    expect(refused).toBe('MAILBOX_FULL');
    expect(() => tell(pid, 'write', 'd')).not.toThrow(); // by now the first has started
    gate.open();
    await Promise.all(first);
    expect(await dispatch(pid, 'write', 'e')).toBeGreaterThan(0);
  });

  it('lets timers and I/O in while a long backlog runs', async () => {
    const { pid } = spawn(kind);
    let loops = 0;
    let counting = true;
    const count = (): void => {
      loops += 1;
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    await Promise.all(Array.from({ length: 20_000 }, () => dispatch(pid, 'write', 'x')));
    counting = false;
    expect(loops).toBeGreaterThan(5);
  });
});

describe('the end of a turn', () => {
  it('is the first await in an interleaved mailbox', async () => {
    const { pid, clerk } = spawn('interleaved');
    const gate = new Gate();
    const a = dispatch(pid, 'work', 'a', gate);
    await dispatch(pid, 'write', 'b');
    gate.open();
    await a;
    expect(clerk.log).toEqual(['initialize', 'a+', 'b', 'a-']);
  });

  it('is the settlement of the handler in a serial mailbox', async () => {
    const { pid, clerk } = spawn('serial');
    const gate = new Gate();
    const both = [dispatch(pid, 'work', 'a', gate), dispatch(pid, 'boomLater'), dispatch(pid, 'write', 'b')];
    await settle();
    expect(clerk.log).toEqual(['initialize', 'a+']);
    gate.open();
    await Promise.allSettled(both);
    expect(clerk.log).toEqual(['initialize', 'a+', 'a-', 'b']);
  });
});

describe.each(KINDS)('terminate, of a process with a mailbox that is %s', (kind) => {
  it('jumps the queue: what is queued is rejected, what has begun settles, finalize comes last', async () => {
    const { pid, clerk } = spawn(kind);
    const gate = new Gate();
    const begun = dispatch(pid, 'work', 'a', gate);
    await settle();
    const queued = [dispatch(pid, 'write', 'b'), dispatch(pid, 'write', 'c')];
    terminate(pid);
    const gone = wait(pid);
    expect(await Promise.all(queued.map((turn) => turn.catch(codeOf)))).toEqual(['ACTOR_TERMINATED', 'ACTOR_TERMINATED']);
    expect(await outcome(gone)).toBe('pending');
    expect(clerk.log).toEqual(['initialize', 'a+']);
    gate.open();
    expect(await begun).toBe('a');
    await gone;
    expect(clerk.log).toEqual(['initialize', 'a+', 'a-', 'finalize']);
  });

  it('comes after what is queued where it does not inject; later turns are refused', async () => {
    const { pid, clerk } = spawn(kind);
    const queued = [dispatch(pid, 'write', 'a'), dispatch(pid, 'write', 'b')];
    terminate(pid, { inject: false });
    const late = dispatch(pid, 'write', 'c');
    expect(await late.catch(codeOf)).toBe('ACTOR_TERMINATED');
    expect(await Promise.all(queued)).toEqual([2, 3]);
    await wait(pid);
    expect(clerk.log).toEqual(['initialize', 'a', 'b', 'finalize']);
  });

  it('takes effect at once where the queue is empty', async () => {
    const { pid, clerk } = spawn(kind);
    terminate(pid, { inject: false });
    await wait(pid);
    expect(clerk.log).toEqual(['initialize', 'finalize']);
  });

  it('jumps a queue that another terminate wanted to wait for', async () => {
    const { pid, clerk } = spawn(kind);
    const queued = dispatch(pid, 'write', 'a');
    terminate(pid, { inject: false });
    terminate(pid);
    expect(await queued.catch(codeOf)).toBe('ACTOR_TERMINATED');
    await wait(pid);
    expect(clerk.log).toEqual(['initialize', 'finalize']);
  });

  it('aborts the signal, with ACTOR_TERMINATED for its reason', async () => {
    const { pid, clerk } = spawn(kind);
    const listening = dispatch(pid, 'listen').catch(codeOf);
    await settle();
    terminate(pid);
    expect(await listening).toBe('ACTOR_TERMINATED');
    await wait(pid);
    expect(clerk.log).toEqual(['initialize', 'listen', 'finalize']);
  });

  it('may be told by the process itself, twice, and leaves a dead PID', async () => {
    const { pid, clerk, system } = spawn(kind);
    expect(await dispatch(pid, 'stopSelf')).toBe('stopped');
    terminate(pid);
    await wait(pid);
    await wait(pid);
    expect(await dispatch(pid, 'write', 'x').catch(codeOf)).toBe('ACTOR_TERMINATED');
    expect(() => tell(pid, 'write', 'x')).toThrow(expect.objectContaining({ code: 'ACTOR_TERMINATED' }));
    expect(clerk.log).toEqual(['initialize', 'finalize']);
    expect(system.processes()).toEqual([]);
  });

  it('finishes where finalize throws', async () => {
    class Clumsy extends Process {
      protected override finalize(): void {
        throw new Error('finalize failed');
      }
    }
    const system = new ActorSystem();
    const pid = system.spawn(new Clumsy(), { mailbox: kind });
    terminate(pid);
    await wait(pid);
    expect(system.processes()).toEqual([]);
  });
});

describe('defer', () => {
  it('makes a callable whose body runs as a turn', async () => {
    const { pid, clerk } = spawn('interleaved');
    const later = defer(pid, (a: number, b: number) => {
      clerk.log.push('deferred');
      return a + b;
    });
    const queued = dispatch(pid, 'write', 'first');
    const sum = later(1, 2);
    expect(clerk.log).toEqual(['initialize']);
    expect([await queued, await sum]).toEqual([2, 3]);
    expect(clerk.log).toEqual(['initialize', 'first', 'deferred']);
  });

  it('rejects once the process has gone, and the body never runs', async () => {
    const { pid, clerk } = spawn('serial');
    const later = defer(pid, () => clerk.log.push('deferred'));
    terminate(pid);
    expect(await later().catch(codeOf)).toBe('ACTOR_TERMINATED');
    await wait(pid);
    expect(clerk.log).not.toContain('deferred');
  });
});

describe('a process before it is spawned', () => {
  it('has no signal, and says so', () => {
    class Hasty extends Process {
      readonly early = this.signal;
    }
    expect(() => new Hasty()).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('types', () => {
  it('hold dispatch to the methods of the process, their arguments and results', async () => {
    const { pid } = spawn('interleaved');
    const length: number = await dispatch(pid, 'write', 'x');
    expect(length).toBe(2);
    const misuse = (): void => {
      // @ts-expect-error no such method
      void dispatch(pid, 'erase', 'x');
      // @ts-expect-error wrong argument
      void dispatch(pid, 'write', 1);
      // @ts-expect-error wrong result
      const text: Promise<string> = dispatch(pid, 'write', 'x');
      // @ts-expect-error not a turn
      void dispatch(pid, 'finalize');
      // @ts-expect-error a field is no method
      void dispatch(pid, 'log');
      const anybody: PID = pid;
      // @ts-expect-error a PID of any process is not one of a Clerk
      const clerk: PID<Clerk> = anybody;
      void [text, clerk];
    };
    expect(misuse).toBeTypeOf('function');
  });
});
