import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Kernel } from '../../src/linux/kernel.ts';
import { removeTree } from '../../src/linux/remove-tree.ts';
import { describeRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { koffiKernel, simulatedKernel } from './kernels.ts';

describeRoot('koffi', () => {
  removeTreeSuite(() => koffiKernel());
  realSuite();
});
describe('simulated', () => removeTreeSuite(() => simulatedKernel().kernel));
describe('simulated, with the mount table only', () => removeTreeSuite(() => simulatedKernel({ quickMountPoint: false }).kernel));

/** Small trees and large ones go different ways. */
const SIZES = { small: 5, large: 200 };

function removeTreeSuite(make: () => Kernel): void {
  it.each(Object.entries(SIZES))('[RM1] removes a %s tree, and only that', async (_, size) => {
    const { root, tree } = makeTree(size);
    writeFileSync(`${tree}-sibling`, '');
    expect(await removeTree(make(), tree)).toBe(true);
    expect(readdirSync(root).toSorted()).toEqual(['outside', 'tree-sibling']);
    expect(readFileSync(join(root, 'outside', 'file'), 'utf8')).toBe('untouched');
    expect(await removeTree(make(), tree)).toBe(false);
  });

  it.each(Object.entries(SIZES))('[RM1] removes symlinks of a %s tree, dangling and live ones, without touching their targets', async (_, size) => {
    const { root, tree } = makeTree(size);
    symlinkSync(join(root, 'outside'), join(tree, 'live'));
    symlinkSync(join(root, 'outside', 'file'), join(tree, 'd0', 'live file'));
    symlinkSync('nowhere', join(tree, 'dangling'));
    await removeTree(make(), tree);
    expect(readdirSync(root)).toEqual(['outside']);
    expect(readdirSync(join(root, 'outside'))).toEqual(['file']);
  });

  it('[RM1] takes a file or a symlink for what it is', async () => {
    const { root, tree } = makeTree(3);
    symlinkSync(tree, join(root, 'link'));
    expect(await removeTree(make(), join(root, 'link'))).toBe(true);
    expect(await removeTree(make(), join(root, 'outside', 'file'))).toBe(true);
    expect(readdirSync(join(root, 'outside'))).toEqual([]);
    expect(existsSync(join(tree, 'd0'))).toBe(true);
  });

  it('is false where nothing is, or below a file', async () => {
    const { root } = makeTree(3);
    expect(await removeTree(make(), join(root, 'missing'))).toBe(false);
    expect(await removeTree(make(), join(root, 'outside', 'file', 'deeper'))).toBe(false);
  });

  describe.each(Object.entries(SIZES))('a %s tree with a mount', (_, size) => {
    it.each(['', 'd0', 'd0/d1'])('is EBUSY when it is at "%s", and stays as it is', async (place) => {
      const kernel = make();
      const { root, tree } = makeTree(size);
      mkdirSync(join(tree, 'd0', 'd1'), { recursive: true });
      const before = readdirSync(tree, { recursive: true }).length;
      await kernel.bind(join(root, 'outside'), join(tree, place));
      await expect(removeTree(kernel, tree)).rejects.toMatchObject({ code: 'EBUSY', syscall: 'rm' });
      expect(readFileSync(join(root, 'outside', 'file'), 'utf8')).toBe('untouched');
      await kernel.unmount(join(tree, place));
      expect(readdirSync(tree, { recursive: true })).toHaveLength(before);
      expect(await removeTree(kernel, tree)).toBe(true);
    });

    it('is EBUSY for the mount of a file', async () => {
      const kernel = make();
      const { root, tree } = makeTree(size);
      await kernel.bind(join(root, 'outside', 'file'), join(tree, 'd0', 'f0'));
      await expect(removeTree(kernel, tree)).rejects.toMatchObject({ code: 'EBUSY' });
      await kernel.unmount(join(tree, 'd0', 'f0'));
      expect(await removeTree(kernel, tree)).toBe(true);
    });

    it('is EBUSY when it is reached through a symlinked parent', async () => {
      const kernel = make();
      const { root, tree } = makeTree(size);
      symlinkSync(root, join(root, 'loop'));
      await kernel.bind(join(root, 'outside'), join(tree, 'd0'));
      await expect(removeTree(kernel, join(root, 'loop', 'tree'))).rejects.toMatchObject({ code: 'EBUSY' });
    });
  });
}

function realSuite(): void {
  it.each(Object.entries(SIZES))('[RM1] removes device nodes, pipes and read-only directories of a %s tree', async (_, size) => {
    const kernel = koffiKernel();
    const { root, tree } = makeTree(size);
    kernel.files.mknod(join(tree, 'd0', 'null'), 0o020666, 1, 3);
    kernel.files.mknod(join(tree, 'd0', 'pipe'), 0o010666, 0, 0);
    chmodSync(join(tree, 'd0'), 0o500);
    chmodSync(tree, 0o500);
    expect(await removeTree(kernel, tree)).toBe(true);
    expect(readdirSync(root)).toEqual(['outside']);
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it.each(Object.entries(SIZES))('removes names of a %s tree that are no UTF-8', async (_, size) => {
    const { root, tree } = makeTree(size);
    const odd = Buffer.concat([Buffer.from(`${tree}/d0/`), Buffer.from([0xff, 0xfe])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from('/\n\xff', 'latin1')]), '');
    writeFileSync(join(tree, 'd0', '\ufffd'), '');
    expect(await removeTree(koffiKernel(), tree)).toBe(true);
    expect(readdirSync(root)).toEqual(['outside']);
  });

  it('removes a tree that is deeper than any path', async () => {
    const { root, tree } = makeTree(3);
    // built upside down: each round puts what there is into a new directory, by short names
    const name = 'deep'.repeat(50);
    mkdirSync(join(root, 'inner'));
    writeFileSync(join(root, 'inner', 'at the bottom'), '');
    for (let depth = 0; depth < 60; depth += 1) {
      mkdirSync(join(root, 'outer'));
      renameSync(join(root, 'inner'), join(root, 'outer', name));
      writeFileSync(join(root, 'outer', 'file'), '');
      renameSync(join(root, 'outer'), join(root, 'inner'));
    }
    renameSync(join(root, 'inner'), join(tree, 'inner'));
    expect(await removeTree(koffiKernel(), tree)).toBe(true);
    expect(readdirSync(root)).toEqual(['outside']);
  });

  it('does not mind what others remove or add meanwhile', async () => {
    const { root, tree } = makeTree(1500);
    const added = join(tree, 'd1', 'added');
    const results = await Promise.all([
      removeTree(koffiKernel(), tree),
      removeTree(koffiKernel(), tree),
      new Promise<void>((resolve) => {
        setImmediate(() => {
          if (existsSync(join(tree, 'd1'))) writeFileSync(added, '');
          resolve();
        });
      }),
    ]);
    expect(results.slice(0, 2)).toContain(true);
    expect(readdirSync(root)).toEqual(['outside']);
  });
}

/** A tree of about `size` entries, and a directory outside that must stay. */
function makeTree(size: number): { root: string; tree: string } {
  const root = temporaryDirectory('remove');
  const tree = join(root, 'tree');
  mkdirSync(join(root, 'outside'));
  writeFileSync(join(root, 'outside', 'file'), 'untouched');
  for (let index = 0; index < size; index += 1) {
    const directory = join(tree, `d${index % 7}`, ...(index % 3 === 0 ? [] : [`e${index % 5}`]));
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `f${index}`), `${index}`);
  }
  return { root, tree };
}
