import { describe, expect, it } from 'vitest';
import { normalizeEntryName } from '../../../src/stores/layers/entry-name.ts';

const normalize = (name: string): string => normalizeEntryName(name, { offset: 0, entry: name });

describe('normalizeEntryName', () => {
  it.each([
    ['a', 'a'],
    ['a/b', 'a/b'],
    ['./a/b', 'a/b'],
    ['a/', 'a'],
    ['a//b///c/', 'a/b/c'],
    ['a/./b/.', 'a/b'],
    ['.', ''],
    ['./', ''],
    ['././/.', ''],
    ['..a/b..', '..a/b..'],
    ['...', '...'],
    ['.hidden/.x', '.hidden/.x'],
    ['a\nb', 'a\nb'],
    ['\xff\xfe', '\xff\xfe'],
    ['n'.repeat(255), 'n'.repeat(255)],
  ])('%j is %j', (name, path) => {
    expect(normalize(name)).toBe(path);
  });

  it.each(['', '/', '/etc/passwd', '//a', '..', '../a', 'a/..', 'a/../b', './../a', 'a/b/../../..', 'a\0', 'a/\0/b', '.\0'])(
    '%j is LAYER_UNSAFE',
    (name) => {
      expect(() => normalize(name)).toThrowError(expect.objectContaining({ code: 'LAYER_UNSAFE' }));
    },
  );

  it('a component of 256 bytes, or a path of 4096, is LAYER_INVALID', () => {
    const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });
    expect(() => normalize('n'.repeat(256))).toThrowError(invalid);
    expect(() => normalize(`a/${'n'.repeat(256)}/b`)).toThrowError(invalid);
    const long = `${'n'.repeat(63)}/`.repeat(64);
    expect(normalize(long)).toHaveLength(4095);
    expect(() => normalize(`${long}n`)).toThrowError(invalid);
  });
});
