import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { CopyBackend } from '../../src/backends/copy.ts';
import { OverlayBackend } from '../../src/backends/overlay.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { backendDir, rootfsPath } from '../../src/paths/provisioner.ts';
import { directory, file, makeLayer, opaque, symlink, whiteout, type LayerContent, type LayerEntry } from '../backends/layers.ts';
import { describeRoot } from '../support/requirements.ts';
import { makeDirectory, removeDirectory } from '../support/temporary-directory.ts';
import { diffTrees, readTree, showDifference } from '../support/tree.ts';

const names = fc.constantFrom('a', 'b', 'c', 'ü:,\\ ');
const path = fc.array(names, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
const attributes = fc.record({
  mode: fc.constantFrom(0o644, 0o755, 0o600, 0o4755, 0o1777, 0o444),
  uid: fc.constantFrom(0, 1000),
  gid: fc.constantFrom(0, 50),
  modifiedNs: fc.constantFrom(0n, 1_600_000_000_000_000_000n, 1_600_000_000_123_456_789n),
});
const xattrs = fc.constantFrom({}, { 'user.a': 'b' }, { 'trusted.c': 'd', 'user.e': '' });
const entry: fc.Arbitrary<LayerEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.string({ maxLength: 20 }), attributes, xattrs).map(([content, more, xattrs]) => file(content, { ...more, xattrs })),
  },
  { weight: 3, arbitrary: fc.tuple(attributes, xattrs).map(([more, xattrs]) => directory({ ...more, xattrs })) },
  { weight: 2, arbitrary: fc.constant(opaque) },
  { weight: 3, arbitrary: fc.constant(whiteout) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('a', '../b', '/etc/passwd', '.'), attributes).map(([target, more]) => symlink(target, more)) },
  { weight: 1, arbitrary: fc.constantFrom<LayerEntry>({ type: 'fifo' }, { type: 'device', major: 1, minor: 3 }) },
);
const layer = fc
  .tuple(
    fc.array(fc.tuple(path, entry), { maxLength: 12 }),
    fc.array(fc.tuple(path, fc.nat()), { maxLength: 2 }),
    fc.constantFrom({}, { '': opaque }),
  )
  .map(([entries, links, root]) => consistent({ ...root, ...Object.fromEntries(entries) }, links));

/** Only what one archive can hold: nothing below what is no directory; hard links go to files of the layer. */
function consistent(content: LayerContent, links: ReadonlyArray<readonly [string, number]>): LayerContent {
  const kept: Record<string, LayerEntry> = {};
  const fits = (at: string): boolean => {
    const segments = at.split('/');
    const parents = segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
    return parents.every((parent) => kept[parent] === undefined || kept[parent].type === 'directory');
  };
  for (const at of Object.keys(content).toSorted()) if (fits(at)) kept[at] = content[at] as LayerEntry;
  for (const [at, pick] of links) {
    const files = Object.keys(kept).filter((name) => kept[name]?.type === 'file');
    const to = files[pick % Math.max(files.length, 1)];
    const taken = Object.keys(kept).some((name) => name === at || name.startsWith(`${at}/`));
    if (to !== undefined && !taken && fits(at)) kept[at] = { type: 'link', to };
  }
  return kept;
}

describeRoot('copy, over random layers', () => {
  it('[BK6] makes the very tree that an overlay mount of the same layers shows', async () => {
    const kernel = await openKernel();
    const root = makeDirectory('copy-merge');
    const [overlay, copy] = [new OverlayBackend({ kernel }), new CopyBackend({ kernel })];
    let run = 0;
    try {
      await fc.assert(
        fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 5 }), async (contents) => {
          const at = join(root, String(run++));
          const trees = [];
          for (const backend of [overlay, copy]) {
            const layers = contents.map((content, index) => makeLayer(kernel.files, join(at, backend.form, String(index)), backend.form, content));
            const where = { backendDir: backendDir(at, backend.name), rootfs: rootfsPath(backendDir(at, backend.name), 'r') };
            await backend.provision({ ...where, layers });
            trees.push(readTree(where.rootfs));
            await backend.destroy(where);
          }
          const [expected, actual] = trees as [ReturnType<typeof readTree>, ReturnType<typeof readTree>];
          // overlayfs shows the link count of the layer's inode, some of whose names may be hidden
          const differences = diffTrees(expected, actual).filter(({ field }) => field !== 'linkCount');
          expect(differences.map(showDifference)).toEqual([]);
        }),
        { numRuns: 60 },
      );
    } finally {
      removeDirectory(root);
    }
  });
});
