import { describe, expect, it } from 'vitest';
import { findWhiteout, mayHaveXattr } from '../../../src/stores/layers/whiteouts.ts';

const find = (path: string): unknown => findWhiteout(path, { offset: 0, entry: path });

describe('findWhiteout', () => {
  it.each([
    ['.wh.a', { kind: 'removed', path: 'a' }],
    ['d/.wh.a', { kind: 'removed', path: 'd/a' }],
    ['d/.wh.a.wh.b', { kind: 'removed', path: 'd/a.wh.b' }],
    ['d/.wh....', { kind: 'removed', path: 'd/...' }],
    ['.wh..wh..opq', { kind: 'opaque', path: '' }],
    ['d/e/.wh..wh..opq', { kind: 'opaque', path: 'd/e' }],
    ['.wh..wh.aufs', { kind: 'ignored' }],
    ['.wh..wh.orph', { kind: 'ignored' }],
    ['.wh..wh.plnk', { kind: 'ignored' }],
    ['.wh..wh.plnk/123.456', { kind: 'ignored' }],
    ['d/.wh..wh.anything', { kind: 'ignored' }],
    ['a.wh.b', undefined],
    ['d.wh./a', undefined],
    ['plain', undefined],
  ])('%j: %j', (path, whiteout) => {
    expect(find(path)).toEqual(whiteout);
  });

  it.each(['.wh.', '.wh..', '.wh...', 'd/.wh.', '.wh.a/b', 'd/.wh.a/b/c', '.wh..wh..opq/b'])('%j is LAYER_UNSAFE', (path) => {
    expect(() => find(path)).toThrowError(expect.objectContaining({ code: 'LAYER_UNSAFE' }));
  });
});

describe('mayHaveXattr', () => {
  it("keeps all but overlayfs's own", () => {
    const names = ['security.capability', 'user.overlay.opaque', 'trusted.other', 'trusted.overlay.opaque', 'trusted.overlay.redirect'];
    expect(names.filter(mayHaveXattr)).toEqual(['security.capability', 'user.overlay.opaque', 'trusted.other']);
  });
});
