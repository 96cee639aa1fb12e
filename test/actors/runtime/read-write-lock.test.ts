import { describe, expect, it } from 'vitest';
import { ReadWriteLock } from '../../../src/actors/runtime/read-write-lock.ts';
import { codeOf, Gate, outcome, settle } from './gate.ts';

/** Somebody who wants the lock: when they have it, `log` says so, and they keep it until told. */
class Person {
  readonly #gate = new Gate();
  readonly done: Promise<void>;

  constructor(name: string, lock: ReadWriteLock, mode: 'read' | 'write', log: string[], signal?: AbortSignal) {
    this.done = lock[mode](async () => {
      log.push(name);
      await this.#gate.promise;
    }, signal);
    this.done.catch(() => undefined);
  }

  async leave(): Promise<void> {
    this.#gate.open();
    await this.done;
    await settle();
  }
}

/** People named W… write, the others read. */
function crowd(lock: ReadWriteLock): { log: string[]; come: (name: string, signal?: AbortSignal) => Promise<Person> } {
  const log: string[] = [];
  return {
    log,
    async come(name, signal) {
      const person = new Person(name, lock, name.startsWith('W') ? 'write' : 'read', log, signal);
      await settle();
      return person;
    },
  };
}

describe('ReadWriteLock', () => {
  it('[RW1] is had at once when nobody has it', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    expect(lock.idle).toBe(true);
    const writer = await come('W');
    expect([log, lock.idle]).toEqual([['W'], false]);
    await writer.leave();
    expect(lock.idle).toBe(true);
    const reader = await come('R');
    expect(log).toEqual(['W', 'R']);
    await reader.leave();
    expect(lock.idle).toBe(true);
  });

  it('[RW2] keeps readers out while a writer has it', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const writer = await come('W');
    const reader = await come('R');
    expect(log).toEqual(['W']);
    await writer.leave();
    expect(log).toEqual(['W', 'R']);
    await reader.leave();
  });

  it('[RW3] keeps a writer out while a writer, or a reader, has it', async () => {
    for (const first of ['W1', 'R1']) {
      const lock = new ReadWriteLock();
      const { log, come } = crowd(lock);
      const holder = await come(first);
      const writer = await come('W2');
      expect(log).toEqual([first]);
      await holder.leave();
      expect(log).toEqual([first, 'W2']);
      await writer.leave();
      expect(lock.idle).toBe(true);
    }
  });

  it('[RW4] lets readers have it together, and a writer only when all have left', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const readers = [await come('R1'), await come('R2'), await come('R3')];
    const writer = await come('W');
    expect(log).toEqual(['R1', 'R2', 'R3']);
    await readers[1]!.leave();
    await readers[0]!.leave();
    expect(log).toEqual(['R1', 'R2', 'R3']);
    await readers[2]!.leave();
    expect(log).toEqual(['R1', 'R2', 'R3', 'W']);
    await writer.leave();
  });

  it('[RW5] starves nobody: W1 R1 R2 W2 R3 R4 behind a reader get it as W1, R1 R2, W2, R3 R4', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const holder = await come('R0');
    const people = new Map<string, Person>();
    for (const name of ['W1', 'R1', 'R2', 'W2', 'R3', 'R4']) people.set(name, await come(name));
    expect(log.splice(0)).toEqual(['R0']);
    await holder.leave();
    for (const group of [['W1'], ['R1', 'R2'], ['W2'], ['R3', 'R4']]) {
      expect(log.splice(0)).toEqual(group);
      for (const name of group) await people.get(name)!.leave();
    }
    expect([log, lock.idle]).toEqual([[], true]);
  });

  it('lets a cancelled waiter leave at once, and those behind it in', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const holder = await come('R0');
    const abort = new AbortController();
    const writer = await come('W', abort.signal);
    const reader = await come('R1');
    expect(log).toEqual(['R0']);
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(writer.done).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    await settle();
    expect(log).toEqual(['R0', 'R1']); // not behind the writer that was cancelled
    await reader.leave();
    await holder.leave();
    expect(lock.idle).toBe(true);
  });

  it('keeps no trace of a thousand cancelled writers', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const holder = await come('R0');
    const abort = new AbortController();
    const writers = Array.from({ length: 1_000 }, () => lock.write(async () => log.push('W'), abort.signal).catch(codeOf));
    abort.abort();
    expect(new Set(await Promise.all(writers))).toEqual(new Set(['ABORTED']));
    await holder.leave();
    expect([log, lock.idle]).toEqual([['R0'], true]);
  });

  it('gives it to nobody who is aborted before, or between the grant and the body', async () => {
    const lock = new ReadWriteLock();
    const ran: string[] = [];
    expect(await lock.read(async () => ran.push('before'), AbortSignal.abort()).catch(codeOf)).toBe('ABORTED');
    const abort = new AbortController();
    const granted = lock.write(async () => ran.push('between'), abort.signal).catch(codeOf);
    abort.abort();
    expect([await granted, ran, lock.idle]).toEqual(['ABORTED', [], true]);
  });

  it('is released when the body fails, by throwing or by rejecting, and not before it settles', async () => {
    const lock = new ReadWriteLock();
    const thrown = lock.write(() => {
      throw new Error('thrown');
    });
    await expect(thrown).rejects.toThrow('thrown');
    const gate = new Gate();
    const abort = new AbortController();
    const failing = lock.write(() => gate.promise, abort.signal);
    await settle();
    abort.abort(); // the body has begun: it is its own affair
    const next = lock.read(async () => 'next');
    expect(await outcome(next)).toBe('pending');
    gate.fail(new Error('rejected'));
    await expect(failing).rejects.toThrow('rejected');
    expect([await next, lock.idle]).toEqual(['next', true]);
  });

  it('has the trap that its comment names: a recursive read behind a waiting writer never comes', async () => {
    const lock = new ReadWriteLock();
    const abort = new AbortController();
    let inner = Promise.resolve('');
    const outer = lock.read(async () => {
      const writer = lock.write(async () => undefined, abort.signal);
      inner = lock.read(async () => 'inner');
      const waiting = await outcome(inner);
      abort.abort();
      return `${waiting}, then ${await inner}, writer ${await writer.catch(codeOf)}`;
    });
    expect(await outer).toBe('pending, then inner, writer ABORTED');
  });
});

// A process::Mutex is a ReadWriteLock that is only written.
describe('Mutex, as write locks', () => {
  it('[MU1] is had at once when nobody has it, and again after that', async () => {
    const lock = new ReadWriteLock();
    expect(await lock.write(async () => 1)).toBe(1);
    expect(await lock.write(async () => 2)).toBe(2);
    expect(lock.idle).toBe(true);
  });

  it('[MU2] keeps everyone else waiting', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const first = await come('W1');
    const second = await come('W2');
    expect(log).toEqual(['W1']);
    await first.leave();
    expect(log).toEqual(['W1', 'W2']);
    await second.leave();
  });

  it('[MU3] is had in the order of asking', async () => {
    const lock = new ReadWriteLock();
    const { log, come } = crowd(lock);
    const names = ['W1', 'W2', 'W3', 'W4'];
    const people: Person[] = [];
    for (const name of names) people.push(await come(name));
    for (const [i, person] of people.entries()) {
      expect(log).toEqual(names.slice(0, i + 1));
      await person.leave();
    }
    expect(lock.idle).toBe(true);
  });
});
