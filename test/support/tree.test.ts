import { execFileSync } from 'node:child_process';
import { mkdirSync, linkSync, lutimesSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeWith } from './requirements.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import { diffTrees, readTree, treePath } from './tree.ts';

// What the trees of real images are compared with must see each kind of difference, or the comparison proves nothing.
describeWith(['sh', 'mknod', 'setfattr'], 'readTree and diffTrees', () => {
  it('finds no difference between a tree and itself', () => {
    const root = example();
    expect(diffTrees(readTree(root), readTree(root))).toEqual([]);
  });

  it.each([
    ['content of the same size', 'printf 2 >file', 'file', ['content']],
    ['size', 'printf 22 >file', 'file', ['size', 'content']],
    ['mode', 'chmod 4644 file', 'file', ['mode']],
    ['owner', 'chown 7:8 file', 'file', ['uid', 'gid']],
    ['owner of a symlink', 'chown -h 7:8 link', 'link', ['uid', 'gid']],
    ['target', 'ln -sfn elsewhere link', 'link', ['target']],
    ['nanoseconds', 'touch -d @1.000000002 file', 'file', ['modified']],
    ['device number', 'rm device; mknod device c 1 5', 'device', ['device']],
    ['kind of device', 'rm device; mknod device b 1 3', 'device', ['entry']],
    ['type', 'rm fifo; mkdir fifo', 'fifo', ['entry']],
    ['a name that is gone', 'rm fifo', 'fifo', ['entry']],
    ['a name that came', ': >new', 'new', ['entry']],
    ['a name that is no UTF-8', `: >"$(printf 'a\\377')"`, 'a\xff', ['entry']],
    ['an attribute', 'setfattr -n trusted.x -v y file', 'file', ['xattrs']],
    ['an empty attribute', 'setfattr -n user.empty file', 'file', ['xattrs']],
    ['a link more', 'ln first another', 'first', ['linkCount', 'linkGroup']],
    ['a link to another inode', 'ln -f file second', 'second', ['linkGroup', 'content', 'size']],
  ])('sees %s', (_, change, path, fields) => {
    const root = example();
    const before = readTree(root);
    execFileSync('sh', ['-ec', change], { cwd: root });
    const seen = diffTrees(before, readTree(root)).filter((difference) => difference.path === path);
    // Most changes of content and links show in the time of the file too; that is not what is asked here.
    expect(seen.map(({ field }) => field)).toEqual(expect.arrayContaining(fields));
    expect(seen.filter(({ field }) => field !== 'modified').length).toBe(fields.filter((field) => field !== 'modified').length);
  });

  it('names a path as bytes', () => {
    expect(Buffer.from(treePath('grüße'), 'latin1').toString()).toBe('grüße');
  });
});

function example(): string {
  const root = join(temporaryDirectory('tree'), 'tree');
  mkdirSync(root);
  writeFileSync(join(root, 'file'), '1');
  writeFileSync(join(root, 'first'), 'linked');
  linkSync(join(root, 'first'), join(root, 'second'));
  symlinkSync('file', join(root, 'link'));
  execFileSync('sh', ['-ec', 'mkfifo fifo; mknod device c 1 3; for f in *; do touch -hd @1.000000001 "$f"; done'], { cwd: root });
  lutimesSync(root, 1, 1);
  return root;
}
