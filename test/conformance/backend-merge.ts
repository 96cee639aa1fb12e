import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { directory, file, opaque, symlink, whiteout } from '../backends/layers.ts';
import { Stage, type BackendSubject } from './backend-stage.ts';

/** What shows of several layers. */
export function mergeTests(subject: BackendSubject): void {
  describe('layers on layers', () => {
    whiteouts(subject);
    overwrites(subject);
  });
}

function whiteouts(subject: BackendSubject): void {
  it('[PD6] a whiteout hides a file, a directory, a symlink and what does not exist; none of the markers shows', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ 'd/file1': file('1'), 'd/file2': file('2'), 'd/dir/deep/x': file('x'), 'd/link': symlink('file1') });
    const top = stage.layer({ 'd/file1': whiteout, 'd/dir': whiteout, 'd/link': whiteout, 'd/never-was': whiteout });
    await stage.provision([base, top]);
    expect(stage.list('d')).toEqual(['file2']);
    expect(stage.typeOf('d/file1')).toBeUndefined();
    expect(stage.typeOf('d/dir')).toBeUndefined();
  });

  it('[PD6] an opaque directory hides what lower layers have in it, and a file of the same layer stays', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ 'd/old/deep': file('1'), 'd/other': file('2'), outside: file('3') });
    const top = stage.layer({ d: opaque, 'd/new': file('new'), 'd/old': file('now a file') });
    await stage.provision([base, top]);
    expect(stage.list('d')).toEqual(['new', 'old']);
    expect(stage.read('d/old')).toBe('now a file');
    expect(stage.read('outside')).toBe('3');
  });

  it('what a whiteout hid comes back only where a later layer has it', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ 'd/x': file('base'), 'd/dir/a': file('a') });
    const middle = stage.layer({ 'd/x': whiteout, 'd/dir': whiteout });
    const top = stage.layer({ 'd/x': file('top'), 'd/dir/b': file('b') });
    await stage.provision([base, middle, top]);
    expect(stage.read('d/x')).toBe('top');
    expect(stage.list('d/dir')).toEqual(['b']);
  });

  it('an opaque root hides all layers below', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ 'etc/base': file('base'), base: file('base') });
    const middle = stage.layer({ '': opaque, 'etc/middle': file('middle') });
    const top = stage.layer({ top: file('top') });
    await stage.provision([base, middle, top]);
    expect(stage.list()).toEqual(['etc', 'top']);
    expect(stage.list('etc')).toEqual(['middle']);
  });
}

function overwrites(subject: BackendSubject): void {
  it('[PD7] directories merge; whatever else replaces what it lies on, and a replaced directory keeps nothing', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({
      'merged/a': file('a'),
      'dir-to-file/child': file(''),
      'dir-to-link/child': file(''),
      'file-to-dir': file(''),
      'link-to-dir': symlink('merged'),
      'file-to-link': file(''),
      'link-to-file': symlink('merged/a'),
      'dir-file-dir/old': file(''),
    });
    const middle = stage.layer({ 'dir-file-dir': file('') });
    const top = stage.layer({
      'merged/b': file('b'),
      'dir-to-file': file('file'),
      'dir-to-link': symlink('merged'),
      'file-to-dir/child': file('child'),
      'link-to-dir/child': file('child'),
      'file-to-link': symlink('merged/a'),
      'link-to-file': file('file'),
      'dir-file-dir/new': file(''),
    });
    await stage.provision([base, middle, top]);
    expect(stage.list('merged')).toEqual(['a', 'b']);
    expect(stage.read('merged/a')).toBe('a');
    expect(stage.read('dir-to-file')).toBe('file');
    expect(stage.typeOf('dir-to-link')).toBe('symlink');
    expect(stage.list('file-to-dir')).toEqual(['child']);
    expect(stage.typeOf('link-to-dir')).toBe('directory');
    expect(stage.list('link-to-dir')).toEqual(['child']);
    expect(stage.typeOf('file-to-link')).toBe('symlink');
    expect(stage.typeOf('link-to-file')).toBe('file');
    expect(stage.list('dir-file-dir')).toEqual(['new']);
  });

  it('[PD7] [MESOS-7280] a file over a symlink of a lower layer never writes through it onto the host', async () => {
    const stage = await Stage.open(subject);
    const host = stage.precious('host');
    const secret = join(host, 'secret');
    writeFileSync(secret, 'of the host');
    const base = stage.layer({ link: symlink(secret), dir: symlink(host), loop: symlink('loop') });
    const top = stage.layer({ link: file('of the image'), 'dir/secret': file('of the image'), 'dir/keep': whiteout, loop: directory() });
    await stage.provision([base, top]);
    expect(stage.read('link')).toBe('of the image');
    expect(stage.read('dir/secret')).toBe('of the image');
    expect(stage.list('loop')).toEqual([]);
    expect(readFileSync(secret, 'utf8')).toBe('of the host');
    expect(await stage.destroy()).toBe(true);
    expect(readFileSync(secret, 'utf8')).toBe('of the host');
  });
}
