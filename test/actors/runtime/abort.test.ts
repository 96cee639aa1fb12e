import { getEventListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { abortController, abortedError, onAbort, throwIfAborted, withAbort } from '../../../src/actors/runtime/abort.ts';
import { RootwrightError } from '../../../src/errors.ts';

describe('withAbort', () => {
  it('settles as its body does', async () => {
    expect(await withAbort('work', async () => 1)).toBe(1);
    await expect(withAbort('work', () => Promise.reject(new Error('EIO')), new AbortController().signal)).rejects.toThrow('EIO');
  });

  it('never begins what is aborted already', async () => {
    let ran = false;
    const work = withAbort('pull of x', async () => (ran = true), AbortSignal.abort(new Error('shutting down')));
    await expect(work).rejects.toMatchObject({ code: 'ABORTED', message: 'pull of x: aborted (shutting down)', cause: new Error('shutting down') });
    expect(ran).toBe(false);
  });

  it.each([
    ['the reason, thrown on', (signal: AbortSignal) => Promise.reject(signal.reason as Error)],
    ['an AbortError of Node', (signal: AbortSignal) => readFile('/dev/null', { signal })],
  ])('turns %s into ABORTED, with the reason as its cause', async (_, body) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const work = withAbort(
      'work',
      () => {
        controller.abort(reason);
        return body(controller.signal);
      },
      controller.signal,
    );
    await expect(work).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
  });

  it('keeps a failure that is not the abort, and a result in spite of it', async () => {
    const controller = new AbortController();
    const failure = new RootwrightError('UNMOUNT_FAILED', 'busy');
    const failing = withAbort(
      'work',
      () => {
        controller.abort();
        return Promise.reject(failure);
      },
      controller.signal,
    );
    await expect(failing).rejects.toBe(failure);
    const other = new AbortController();
    expect(
      await withAbort(
        'work',
        async () => {
          other.abort();
          return 'done';
        },
        other.signal,
      ),
    ).toBe('done');
  });
});

describe('abortedError', () => {
  it('passes an ABORTED reason on, and wraps any other, also one that is no error', () => {
    const reason = new RootwrightError('ABORTED', 'by the user');
    expect(abortedError('work', AbortSignal.abort(reason))).toBe(reason);
    expect(abortedError('work', AbortSignal.abort('text'))).toMatchObject({ code: 'ABORTED', cause: 'text', message: 'work: aborted' });
    const other = new RootwrightError('PROVISION_DESTROYED', 'destroyed');
    expect(abortedError('work', AbortSignal.abort(other))).toMatchObject({ code: 'ABORTED', cause: other });
    expect(() => throwIfAborted('work', undefined)).not.toThrow();
  });
});

describe('onAbort', () => {
  it('tells everyone who has not taken it back, once, in order, also while it tells', () => {
    const abort = new AbortController();
    const heard: string[] = [];
    const take: (() => void)[] = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      take.push(
        onAbort(abort.signal, () => {
          heard.push(name);
          if (name === 'c') take[3]!();
        }),
      );
    }
    take[1]!();
    take[1]!();
    abort.abort();
    take[0]!();
    expect(heard).toEqual(['a', 'c']);
  });

  it('adds one listener to the signal whoever listens, and none when all have left', () => {
    const { signal } = new AbortController();
    const listeners = (): number => getEventListeners(signal, 'abort').length;
    for (let round = 0; round < 2; round += 1) {
      const leave = Array.from({ length: 100 }, () => onAbort(signal, () => undefined));
      expect(listeners()).toBe(1);
      for (const each of leave) each();
      expect(listeners()).toBe(0);
    }
    onAbort(undefined, () => undefined)();
  });

  it('warns of no leak, nor does a signal from abortController', async () => {
    const warnings: unknown[] = [];
    const note = (warning: unknown): number => warnings.push(warning);
    process.on('warning', note);
    const [foreign, own] = [new AbortController(), abortController()];
    for (let i = 0; i < 50; i += 1) {
      onAbort(foreign.signal, () => undefined);
      own.signal.addEventListener('abort', () => undefined);
    }
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });
});
