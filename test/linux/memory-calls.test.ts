import { closeSync, constants, existsSync, lstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openMemoryCalls, type MemoryCalls } from '../../src/linux/memory-calls.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const calls = openMemoryCalls();

/** Memory at a known address, with `text` and a NUL at its start. */
function memoryOf(text: string, made: MemoryCalls): { memory: ArrayBuffer; address: number } {
  const memory = new ArrayBuffer(65_536);
  Buffer.from(memory).write(`${text}\0`);
  return { memory, address: made.addressOf(memory) };
}

/** What create gives for `path` in `directory`; the file is closed again. */
function create(made: MemoryCalls, directory: string, path: string, mode = 0o600): number {
  const { address } = memoryOf(path, made);
  const fd = openSync(directory, constants.O_DIRECTORY);
  const result = made.create(fd, address, mode);
  closeSync(fd);
  return result < 0 ? result : made.close(result);
}

if (calls === undefined) it.skip('memory calls [SKIPPED: koffi does not load here]', () => undefined);
else
  describe('memory calls', () => {
    it('make a file with content and times, from what lies in memory', () => {
      const directory = temporaryDirectory('memory-calls');
      const { memory, address } = memoryOf('file', calls);
      Buffer.from(memory).write('some content', 1000);
      new BigInt64Array(memory, 2048, 4).set([-5n, 999_999_999n, 1_700_000_000n, 123_456_789n]);
      const parent = openSync(directory, constants.O_DIRECTORY);
      const fd = calls.create(parent, address, 0o640);
      closeSync(parent);
      expect(fd).toBeGreaterThan(2);
      expect(calls.write(fd, address + 1005, 7, 3)).toBe(7);
      expect(calls.setTimes(fd, address + 2048)).toBe(0);
      expect(calls.close(fd)).toBe(0);
      expect(calls.close(fd)).toBe(-os.errno.EBADF);
      const stat = lstatSync(join(directory, 'file'), { bigint: true });
      expect([readFileSync(join(directory, 'file'), 'utf8'), stat.atimeNs, stat.mtimeNs]).toEqual([
        '\0\0\0content',
        -4_000_000_001n,
        1_700_000_000_123_456_789n,
      ]);
    });

    it('never replace, never leave the directory, and follow no symlink', () => {
      const directory = temporaryDirectory('memory-calls');
      const inner = join(directory, 'inner');
      mkdirSync(join(inner, 'sub'), { recursive: true });
      writeFileSync(join(inner, 'there'), '');
      symlinkSync('..', join(inner, 'up'));
      symlinkSync('sub', join(inner, 'aside'));
      symlinkSync('../outside', join(inner, 'dangling'));
      expect(create(calls, inner, 'sub/new')).toBe(0);
      expect(create(calls, inner, 'there')).toBe(-os.errno.EEXIST);
      expect(create(calls, inner, 'dangling')).toBe(-os.errno.EEXIST);
      expect(create(calls, inner, 'no/new')).toBe(-os.errno.ENOENT);
      expect(create(calls, inner, 'there/new')).toBe(-os.errno.ENOTDIR);
      for (const path of ['../outside', 'sub/../../outside', 'up/outside', join(directory, 'outside')])
        expect(create(calls, inner, path), path).toBeLessThan(0);
      expect(create(calls, inner, 'aside/new2')).toBe(-os.errno.ELOOP);
      expect([existsSync(join(directory, 'outside')), existsSync(join(inner, 'sub', 'new2'))]).toEqual([false, false]);
    });
  });
