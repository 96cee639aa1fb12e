import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uniqueLayers } from '../../../src/stores/docker/unique-layers.ts';

/** A layer as overlayfs sees it: names to what is there. Only a directory that is not opaque lets names below shine through. */
type Node = 'file' | 'whiteout' | { readonly opaque: boolean; readonly names: Readonly<Record<string, Node>> };
interface Layer {
  readonly diffId: string;
  readonly root: Node;
}

/** What a stack (lowest first) shows: every path with its type and the layer that it comes from. */
function show(layers: readonly Layer[]): Map<string, string> {
  const shown = new Map<string, string>();
  const visit = (path: string, stack: ReadonlyArray<{ node: Node; diffId: string }>): void => {
    const [top] = stack;
    if (top === undefined || top.node === 'whiteout') return;
    if (top.node === 'file') return void shown.set(path, `file of ${top.diffId}`);
    shown.set(path, `directory of ${top.diffId}`);
    const merged: Array<{ node: Exclude<Node, string>; diffId: string }> = [];
    for (const { node, diffId } of stack) {
      if (typeof node === 'string') break;
      merged.push({ node, diffId });
      if (node.opaque) break;
    }
    for (const name of new Set(merged.flatMap(({ node }) => Object.keys(node.names))))
      visit(
        `${path}/${name}`,
        merged.flatMap(({ node, diffId }) => (node.names[name] === undefined ? [] : [{ node: node.names[name], diffId }])),
      );
  };
  visit(
    '',
    layers.toReversed().map(({ root, diffId }) => ({ node: root, diffId })),
  );
  return shown;
}

const { directory } = fc.letrec<{ node: Node; directory: Node }>((tie) => ({
  node: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constant<Node>('file'), fc.constant<Node>('whiteout'), tie('directory')),
  directory: fc.record({
    opaque: fc.boolean(),
    names: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('node'), { maxKeys: 3, noNullPrototype: true }),
  }),
}));

const images = fc
  .tuple(fc.array(directory, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }))
  .map(([roots, order]) => order.map((at): Layer => ({ diffId: `layer ${at % roots.length}`, root: roots[at % roots.length] as Node })));

describe('an image in which a layer comes several times', () => {
  it('shows the same with the topmost of them alone (MESOS-6654)', () => {
    fc.assert(
      fc.property(images, (layers) => {
        const unique = uniqueLayers(layers);
        expect(new Set(unique.map((layer) => layer.diffId)).size).toBe(unique.length);
        expect(show(unique)).toEqual(show(layers));
      }),
      { numRuns: 2000 },
    );
  });

  it('would not with the lowest: a file that a layer between removes is back', () => {
    const brings: Layer = { diffId: 'brings', root: { opaque: false, names: { a: 'file' } } };
    const removes: Layer = { diffId: 'removes', root: { opaque: false, names: { a: 'whiteout' } } };
    expect(show([brings, removes, brings]).has('/a')).toBe(true);
    expect(show([brings, removes]).has('/a')).toBe(false);
    expect(uniqueLayers([brings, removes, brings])).toEqual([removes, brings]);
  });
});
