import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { syncDirectory, writeDurably } from '../../src/linux/durable.ts';
import { isTemporary } from '../../src/paths/provisioner.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('writeDurably', () => {
  it('[CK1] what was written is read back: text, bytes, nothing, megabytes', async () => {
    const directory = temporaryDirectory('durable');
    const path = join(directory, 'layers');
    for (const data of ['text ü\n', Buffer.from([0, 255, 10]), '', Buffer.alloc(3_000_000, 7)]) {
      await writeDurably(path, data);
      expect(readFileSync(path).equals(Buffer.from(data as string))).toBe(true);
      expect(readdirSync(directory)).toEqual(['layers']);
    }
    expect(statSync(path).mode & 0o777).toBe(0o644 & ~process.umask());
  });

  it('[CK1] replaces the whole file at once: a reader sees the old or the new', async () => {
    const path = join(temporaryDirectory('durable'), 'layers');
    await writeDurably(path, 'a'.repeat(10_000));
    const seen = new Set<string>();
    const writing = (async () => {
      for (const letter of 'bcdef') await writeDurably(path, letter.repeat(10_000));
      return true;
    })();
    for (let done = false; !done; ) {
      const text = readFileSync(path, 'utf8');
      expect(text).toHaveLength(10_000);
      expect(new Set(text).size).toBe(1);
      seen.add(text.charAt(0));
      done = await Promise.race([writing, new Promise<false>((resolve) => setImmediate(() => resolve(false)))]);
    }
    expect(readFileSync(path, 'utf8').charAt(0)).toBe('f');
  });

  it('of writes at once one whole one stays', async () => {
    const directory = temporaryDirectory('durable');
    const path = join(directory, 'layers');
    await Promise.all(Array.from('abcdefgh', (letter) => writeDurably(path, letter.repeat(5000))));
    expect(readFileSync(path, 'utf8')).toMatch(/^([a-h])\1{4999}$/);
    expect(readdirSync(directory)).toEqual(['layers']);
  });

  it('replaces a symlink, not what it leads to', async () => {
    const directory = temporaryDirectory('durable');
    writeFileSync(join(directory, 'other'), 'untouched');
    symlinkSync('other', join(directory, 'layers'));
    await writeDurably(join(directory, 'layers'), 'new');
    expect(readFileSync(join(directory, 'other'), 'utf8')).toBe('untouched');
    expect(readFileSync(join(directory, 'layers'), 'utf8')).toBe('new');
  });

  it('leaves the old file and no temporary one when it fails', async () => {
    const directory = temporaryDirectory('durable');
    mkdirSync(join(directory, 'layers'));
    writeFileSync(join(directory, 'layers', 'inside'), '');
    await expect(writeDurably(join(directory, 'layers'), 'new')).rejects.toMatchObject({ code: 'EISDIR', syscall: 'rename' });
    expect(readdirSync(directory)).toEqual(['layers']);
    await expect(writeDurably(join(directory, 'missing', 'layers'), 'new')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('prepares under a name that recovery knows as temporary', async () => {
    const directory = temporaryDirectory('durable');
    const names = new Set<string>();
    const writing = writeDurably(join(directory, 'layers'), 'new');
    for (const name of readdirSync(directory)) names.add(name);
    await writing;
    expect([...names].map(isTemporary)).toEqual([true]);
  });
});

describe('syncDirectory', () => {
  it('takes directories only', async () => {
    const directory = temporaryDirectory('durable');
    writeFileSync(join(directory, 'file'), '');
    await syncDirectory(directory);
    await expect(syncDirectory(join(directory, 'file'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(syncDirectory(join(directory, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
