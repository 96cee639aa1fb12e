import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { run } from '../../src/linux/exec.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('run', () => {
  it('gives output as bytes, errors as text, and the exit code', async () => {
    const result = await run('sh', ['-c', String.raw`printf 'a\377\n'; printf 'öh' >&2; exit 3`]);
    expect(result).toEqual({ stdout: Buffer.from([0x61, 0xff, 0x0a]), stderr: 'öh', exitCode: 3 });
  });

  it('gives 128 and the number of a signal that ended the program', async () => {
    expect((await run('sh', ['-c', 'kill -9 $$'])).exitCode).toBe(137);
  });

  it('gives the program PATH, LC_ALL=C and what was asked for, and nothing else', async () => {
    const { stdout } = await run('env', [], { env: { EXTRA: '1' } });
    const names = stdout
      .toString()
      .trim()
      .split('\n')
      .map((entry) => entry.replace(/=.*/s, ''));
    expect(names.toSorted()).toEqual(['EXTRA', 'LC_ALL', 'PATH']);
    expect(stdout.toString()).toContain('LC_ALL=C\n');
  });

  it('closes standard input, or feeds it', async () => {
    expect((await run('cat', [])).stdout).toHaveLength(0);
    expect((await run('cat', [], { input: Buffer.from([0, 1, 255]) })).stdout).toEqual(Buffer.from([0, 1, 255]));
  });

  it('hands on a directory and open files, more than execa’s types know', async () => {
    const directory = temporaryDirectory('exec');
    writeFileSync(join(directory, 'file'), 'content');
    const fds = Array.from({ length: 12 }, () => openSync(join(directory, 'file'), 'r'));
    try {
      const { stdout } = await run('sh', ['-c', 'pwd; cat /proc/self/fd/3 /proc/self/fd/14'], { cwd: directory, fds });
      expect(stdout.toString()).toBe(`${directory}\ncontentcontent`);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  });

  it('is ENOENT of spawn for a program that is missing', async () => {
    await expect(run('rootwright-no-such-program', [])).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'spawn',
      path: 'rootwright-no-such-program',
    });
  });

  it('on abort ends the whole process group, and settles only then', async () => {
    const directory = temporaryDirectory('exec');
    const pidFile = join(directory, 'pid');
    const abort = new AbortController();
    const reason = new Error('enough');
    const running = run(
      'sh',
      ['-c', 'sh -c "trap \'\' TERM; echo \\$\\$ > pid; while :; do sleep 0.05; done" & wait'],
      { cwd: directory },
      abort.signal,
    );
    while (!existsSync(pidFile) || readFileSync(pidFile, 'utf8') === '') await setTimeout(5);
    const grandchild = Number(readFileSync(pidFile, 'utf8'));
    abort.abort(reason);
    await expect(running).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: reason });
    // it holds our pipes, so that it is gone now or was killed and waits to be reaped
    expect(existsSync(`/proc/${grandchild}`) ? readFileSync(`/proc/${grandchild}/stat`, 'utf8') : 'gone').toMatch(/^gone$|\) Z /);
  });

  it('starts nothing when it is aborted already', async () => {
    const path = join(temporaryDirectory('exec'), 'made');
    await expect(run('touch', [path], {}, AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORT_ERR' });
    expect(existsSync(path)).toBe(false);
  });
});
