import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeDirectories } from '../../src/linux/make-directories.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('makeDirectories', () => {
  it('makes what is missing, with the mode, and nothing the second time', () => {
    const path = join(temporaryDirectory('mkdir'), 'a/b/c');
    makeDirectories(path, 0o700);
    makeDirectories(path, 0o755);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });

  it('goes through symlinks to directories', () => {
    const directory = temporaryDirectory('mkdir');
    symlinkSync('.', join(directory, 'here'));
    makeDirectories(join(directory, 'here/a'), 0o755);
    expect(statSync(join(directory, 'a')).isDirectory()).toBe(true);
  });

  it('fails where a file is in the way', () => {
    const file = join(temporaryDirectory('mkdir'), 'file');
    writeFileSync(file, '');
    expect(() => makeDirectories(join(file, 'a'), 0o755)).toThrow(/ENOTDIR|EEXIST/);
    expect(() => makeDirectories(file, 0o755)).toThrow('EEXIST');
  });

  it('ends where the kernel answers ENOENT below a directory that exists', () => {
    expect(() => makeDirectories('/proc/self/rootwright/a', 0o755)).toThrow('ENOENT');
  });
});
