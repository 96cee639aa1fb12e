import { describe, expect, it } from 'vitest';
import { dispatch, tell, terminate, wait } from '../../../src/actors/runtime/dispatch.ts';
import type { MailboxKind } from '../../../src/actors/runtime/observe.ts';
import { type PID, Process } from '../../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../../src/actors/runtime/system.ts';
import { codeOf, Gate, settle } from './gate.ts';

/** Asks along a path of processes, the first of which is asked next; where the path ends it answers. */
class Link extends Process {
  log: string[] = [];

  async ask(path: readonly PID<Link>[]): Promise<string> {
    const [next, ...rest] = path;
    return next === undefined ? 'end' : `${next.id} ${await dispatch(next, 'ask', rest)}`;
  }

  async askWhen(gate: Gate, path: readonly PID<Link>[]): Promise<string> {
    await gate.promise;
    return this.ask(path);
  }

  /** Answers at once, and asks after that. */
  relay(gate: Gate, path: readonly PID<Link>[], result: Gate<string>): string {
    void gate.promise.then(() => this.ask(path)).then(result.open, result.fail);
    return 'relayed';
  }

  /** Asks, and tells of it only afterwards. */
  async report(path: readonly PID<Link>[], result: Gate<string>): Promise<void> {
    await this.ask(path).then(result.open, result.fail);
  }

  async askAndTell(asked: PID<Link>, gate: Gate, path: readonly PID<Link>[], result: Gate<string>): Promise<void> {
    const answer = dispatch(asked, 'ask', []);
    tell(asked, 'report', path, result);
    await answer;
    await gate.promise;
  }

  async askThenStay(path: readonly PID<Link>[], gate: Gate): Promise<string> {
    const answer = await this.ask(path);
    await gate.promise;
    return answer;
  }

  async waitFor(pid: PID): Promise<void> {
    await wait(pid);
  }

  async askToWait(next: PID<Link>, pid: PID): Promise<void> {
    await dispatch(next, 'waitFor', pid);
  }

  tellSelf(n: number): void {
    this.log.push(`tell ${n}`);
    const self: PID<Link> = this.self;
    if (n > 0) tell(self, 'tellSelf', n - 1);
    this.log.push(`told ${n}`);
  }

  async askInParallel(a: PID<Link>, b: PID<Link>): Promise<string[]> {
    return Promise.all([dispatch(a, 'ask', []), dispatch(b, 'ask', []), dispatch(a, 'ask', [b])]);
  }
}

function spawn(...kinds: MailboxKind[]): PID<Link>[] {
  const system = new ActorSystem();
  return kinds.map((mailbox, i) => system.spawn(new Link(), { name: String.fromCharCode(97 + i), mailbox }));
}

describe('a cycle of asks', () => {
  it('of one serial process with itself fails with ACTOR_CYCLE, and leaves it in order', async () => {
    const [a] = spawn('serial') as [PID<Link>];
    const error = await dispatch(a, 'ask', [a]).catch((error: unknown) => error);
    expect(codeOf(error)).toBe('ACTOR_CYCLE');
    expect((error as Error).message).toContain('a(1).ask → a(1).ask');
    expect(await dispatch(a, 'ask', [])).toBe('end');
  });

  it('is named from the one that closes it, all the way round', async () => {
    const [a, b, c] = spawn('serial', 'serial', 'serial') as [PID<Link>, PID<Link>, PID<Link>];
    const error = await dispatch(a, 'ask', [b, c, a]).catch((error: unknown) => error);
    expect(codeOf(error)).toBe('ACTOR_CYCLE');
    expect((error as Error).message).toContain('c(1).ask → a(1).ask → b(1).ask → c(1).ask');
  });

  it('is found through interleaved processes in the middle', async () => {
    const [a, i, j, b] = spawn('serial', 'interleaved', 'interleaved', 'serial') as [PID<Link>, PID<Link>, PID<Link>, PID<Link>];
    expect(await dispatch(a, 'ask', [i, j, a]).catch(codeOf)).toBe('ACTOR_CYCLE');
    expect(await dispatch(a, 'ask', [i, b, j, a]).catch(codeOf)).toBe('ACTOR_CYCLE');
    expect(await dispatch(a, 'ask', [i, b, j, i])).toBe('b(1) d(1) c(1) b(1) end');
  });

  it('is found where two serial processes ask each other from turns that began independently', async () => {
    const [a, b] = spawn('serial', 'serial') as [PID<Link>, PID<Link>];
    const gates = [new Gate(), new Gate()] as const;
    const first = dispatch(a, 'askWhen', gates[0], [b]).catch(codeOf);
    const second = dispatch(b, 'askWhen', gates[1], [a]).catch(codeOf);
    gates[0].open();
    await settle();
    gates[1].open();
    expect(await second).toBe('ACTOR_CYCLE');
    expect(await first).toBe('b(1) end'); // the other one then goes on
  });

  it('does not end an ask between interleaved processes, which cannot hang so', async () => {
    const [i, j] = spawn('interleaved', 'interleaved') as [PID<Link>, PID<Link>];
    expect(await dispatch(i, 'ask', [j, i, i, j])).toBe('b(1) a(1) a(1) b(1) end');
  });

  it('is found by wait: a serial turn that waits for its own process, or one above it', async () => {
    const [a, b] = spawn('serial', 'serial') as [PID<Link>, PID<Link>];
    expect(await dispatch(a, 'waitFor', a).catch(codeOf)).toBe('ACTOR_CYCLE');
    expect(await dispatch(a, 'askToWait', b, a).catch(codeOf)).toBe('ACTOR_CYCLE');
    const gate = new Gate();
    const asking = dispatch(b, 'askWhen', gate, [a]).catch(codeOf);
    await settle();
    terminate(b);
    const waiting = dispatch(a, 'waitFor', b);
    await settle();
    gate.open();
    expect(await asking).toBe('ACTOR_CYCLE'); // b can't end before a answers, nor a before b has ended
    await waiting;
    expect(await dispatch(a, 'ask', [])).toBe('end');
  });
});

describe('what is no cycle', () => {
  it('asks downwards, also several at once and the same one twice', async () => {
    const [a, b, c] = spawn('serial', 'serial', 'serial') as [PID<Link>, PID<Link>, PID<Link>];
    expect(await dispatch(a, 'askInParallel', b, c)).toEqual(['end', 'end', 'c(1) end']);
    expect(await dispatch(a, 'ask', [b, c])).toBe('b(1) c(1) end');
  });

  it('a dispatch made by a turn that has settled', async () => {
    const [a, b] = spawn('serial', 'serial') as [PID<Link>, PID<Link>];
    const gate = new Gate();
    const late = new Gate<string>();
    expect(await dispatch(a, 'relay', gate, [a, b], late)).toBe('relayed');
    gate.open();
    expect(await late.promise).toBe('a(1) b(1) end');
  });

  it('a dispatch left behind by an interleaved turn that has answered the serial one', async () => {
    const [a, i] = spawn('serial', 'interleaved') as [PID<Link>, PID<Link>];
    const gates = [new Gate(), new Gate()] as const;
    const late = new Gate<string>();
    class Caller extends Process {
      async run(): Promise<string> {
        const answer = await dispatch(i, 'relay', gates[0], [a], late);
        await gates[1].promise;
        return answer;
      }
    }
    const caller = new ActorSystem().spawn(new Caller(), { mailbox: 'serial' });
    const ran = dispatch(caller, 'run');
    await settle();
    gates[0].open(); // the caller's turn is still under way, but it has its answer
    expect(await late.promise).toBe('a(1) end');
    gates[1].open();
    expect(await ran).toBe('relayed');
  });

  it('a process that tells itself what to do next', async () => {
    const system = new ActorSystem();
    const link = new Link();
    const pid = system.spawn(link, { mailbox: 'serial' });
    await dispatch(pid, 'tellSelf', 2);
    await settle();
    expect(link.log).toEqual(['tell 2', 'told 2', 'tell 1', 'told 1', 'tell 0', 'told 0']);
  });

  it('a turn that begins in the wake of one that a serial turn asked for, when nobody waits for it', async () => {
    // The microtask that starts the second turn is scheduled while the first one is under way: it must not run as a part of that.
    const [a, i] = spawn('serial', 'interleaved') as [PID<Link>, PID<Link>];
    const gate = new Gate();
    const result = new Gate<string>();
    const asked = dispatch(a, 'askAndTell', i, gate, [a], result);
    await settle();
    gate.open();
    await asked;
    expect(await result.promise).toBe('a(1) end');
  });

  it('an ask of a process whose own ask has been answered', async () => {
    const [a, b] = spawn('serial', 'serial') as [PID<Link>, PID<Link>];
    const gate = new Gate();
    const staying = dispatch(a, 'askThenStay', [b], gate);
    await settle();
    const other = dispatch(b, 'ask', [a]);
    await settle();
    gate.open();
    expect([await staying, await other]).toEqual(['b(1) end', 'a(1) end']);
  });
});
