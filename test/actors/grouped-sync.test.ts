import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { GroupedSync } from '../../src/actors/grouped-sync.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Flushes that end when the test says so. */
class HeldSync extends GroupedSync {
  /** What is under way: the file, or the directory's path. */
  readonly underWay = new Map<number | string, (error: unknown) => void>();

  protected override flushFile(file: number, done: (error: unknown) => void): void {
    this.underWay.set(file, done);
  }

  protected override flushDirectory(path: string, done: (error: unknown) => void): void {
    this.underWay.set(path, done);
  }

  end(what: number | string, error: unknown = null): void {
    const done = this.underWay.get(what);
    this.underWay.delete(what);
    done?.(error);
  }
}

describe('GroupedSync', () => {
  it('flushes for one who comes alone at once, all at the same time', () => {
    const syncs = new HeldSync();
    void syncs.flush(3, ['/a', '/a/b']);
    expect([...syncs.underWay.keys()]).toEqual([3, '/a', '/a/b']);
  });

  it('starts those who come meanwhile together, a directory that several name once', async () => {
    const syncs = new HeldSync();
    const first = syncs.flush(3, ['/a']);
    const [second, third] = [syncs.flush(4, ['/a', '/a/b']), syncs.flush(5, ['/a', '/a/c'])];
    expect([...syncs.underWay.keys()]).toEqual([3, '/a']); // what is made after a flush has begun is not covered by it
    syncs.end('/a');
    expect([...syncs.underWay.keys()]).toEqual([3]);
    syncs.end(3);
    expect([...syncs.underWay.keys()]).toEqual([4, 5, '/a', '/a/b', '/a/c']);
    await first;
    for (const what of [5, '/a', '/a/c']) syncs.end(what);
    await third;
    syncs.end(4);
    syncs.end('/a/b');
    await second;
  });

  it('fails for those who asked for what failed, once all that they asked for has settled', async () => {
    const syncs = new HeldSync();
    void syncs.flush(3, []);
    const [failing, other] = [syncs.flush(4, ['/a']), syncs.flush(5, ['/b'])];
    const settled: string[] = [];
    const seen = [failing.catch(() => settled.push('failing')), other.then(() => settled.push('other'))];
    syncs.end(3);
    syncs.end('/a', new Error('EIO'));
    for (const what of [5, '/b']) syncs.end(what);
    await other;
    await Promise.resolve();
    expect(settled).toEqual(['other']); // the descriptor 4 is still being flushed
    syncs.end(4);
    await Promise.all(seen);
    await expect(failing).rejects.toThrow('EIO');
  });

  it('goes on after a failure', async () => {
    const syncs = new HeldSync();
    const failing = syncs.flush(3, []);
    const next = syncs.flush(4, []);
    syncs.end(3, new Error('EIO'));
    await expect(failing).rejects.toThrow('EIO');
    syncs.end(4);
    await next;
  });

  it('flushes real files and directories, and fails as the system does', async () => {
    const directory = temporaryDirectory();
    const file = openSync(join(directory, 'file'), 'w');
    onTestFinished(() => closeSync(file));
    const syncs = new GroupedSync();
    const absent = join(directory, 'absent');
    const outcomes = await Promise.allSettled([syncs.flush(file, [directory]), syncs.flush(file, [absent]), syncs.flush(file, [directory])]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await expect(syncs.flush(file, [absent])).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
