import { describe, expect, it } from 'vitest';
import { mergeListings, type EntryType, type Listing } from '../../src/backends/copy/merge-directory.ts';
import { pathString } from '../../src/backends/path-string.ts';

/** Layers topmost first, each a list of 'name' (a file), 'name/' (a directory), 'name@' (a symlink). */
function merge(...layers: readonly string[][]): Record<string, string[]> {
  const listings: Listing[] = layers.map((names, index) => ({ directory: pathString(`/${index}`), entries: names.map(entry) }));
  return Object.fromEntries(mergeListings(listings).map(({ name, type, sources }) => [show(name, type), [...sources]]));
}

function entry(text: string): { name: string; type: EntryType } {
  if (text.endsWith('/')) return { name: text.slice(0, -1), type: 'directory' };
  if (text.endsWith('@')) return { name: text.slice(0, -1), type: 'symlink' };
  return { name: text, type: 'file' };
}

function show(name: string, type: EntryType): string {
  return name + { directory: '/', symlink: '@', file: '', special: '!' }[type];
}

describe('mergeListings', () => {
  it('takes each name from the topmost layer that has it', () => {
    expect(merge(['a', 'b'], ['b@', 'c/'])).toEqual({ a: ['/0/a'], b: ['/0/b'], 'c/': ['/1/c'] });
  });

  it('merges directories, topmost first, down to the first thing of that name that is none', () => {
    expect(merge(['d/'], ['d/'], ['d'], ['d/'])).toEqual({ 'd/': ['/0/d', '/1/d'] });
  });

  it('a whiteout hides what is below, and nothing of its own layer', () => {
    expect(merge(['.wh.a', '.wh.d', 'd/'], ['a', 'd/'], ['a'])).toEqual({ 'd/': ['/0/d'] });
  });

  it('a whiteout closes a directory that a layer above has', () => {
    expect(merge(['d/'], ['.wh.d'], ['d/'])).toEqual({ 'd/': ['/0/d'] });
  });

  it('an opaque marker ends the list, whatever its place among the names', () => {
    expect(merge(['a'], ['z', '.wh..wh..opq', 'b'], ['c', 'a/'])).toEqual({ a: ['/0/a'], z: ['/1/z'], b: ['/1/b'] });
  });

  it('leaves out the other names of AUFS, and a whiteout of nothing hides nothing', () => {
    expect(merge(['.wh..wh.aufs', '.wh..wh.orph/', '.wh..wh.plnk/', '.wh.', '.wh..', '.wh...', 'a'], ['.aufs', 'b', 'wh.c'])).toEqual({
      a: ['/0/a'],
      '.aufs': ['/1/.aufs'],
      b: ['/1/b'],
      'wh.c': ['/1/wh.c'],
    });
  });

  it('takes names that mean something to JavaScript objects for names', () => {
    expect(Object.keys(merge(['__proto__', 'constructor'], ['toString', '.wh.constructor']))).toEqual(['__proto__', 'constructor', 'toString']);
  });
});
