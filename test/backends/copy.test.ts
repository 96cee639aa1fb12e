import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CopyPool } from '../../src/backends/copy/pool.ts';
import { CopyBackend } from '../../src/backends/copy.ts';
import { openFileCalls } from '../../src/linux/file-calls.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { backendDir, copyPartialDir, rootfsPath, scratchDir } from '../../src/paths/provisioner.ts';
import { describeRoot, describeWith, itRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { diffTrees, readTree, showDifference } from '../support/tree.ts';
import { directory, file, makeLayer, symlink, whiteout, type LayerContent } from './layers.ts';
import { loopFilesystem } from './loop-filesystem.ts';

const files = openFileCalls();

/** A copy backend, and one container under `root`. */
function stage(root = temporaryDirectory('copy')): {
  backend: CopyBackend;
  root: string;
  rootfs: string;
  where: { rootfs: string; backendDir: string };
  partial: string;
  swallowed: string[];
  layer: (name: string, content: LayerContent) => string;
} {
  const swallowed: string[] = [];
  const backend = new CopyBackend({ kernel: new SimulatedKernel(), onSwallowed: (what) => swallowed.push(what) });
  const where = { backendDir: backendDir(root, 'copy'), rootfs: rootfsPath(backendDir(root, 'copy'), 'r') };
  const partial = copyPartialDir(scratchDir(where.backendDir, 'r'));
  return {
    backend,
    root,
    rootfs: where.rootfs,
    where,
    partial,
    swallowed,
    layer: (name, content) => makeLayer(files, join(root, 'layers', name), 'plain', content),
  };
}

function expectSameTree(expected: string, actual: string): void {
  expect(diffTrees(readTree(expected), readTree(actual)).map(showDifference)).toEqual([]);
}

describeRoot('copy: what it keeps', () => {
  it.each(['koffi', 'util-linux'] as const)('every attribute of every kind of entry, by %s', async (adapter) => {
    const { where, rootfs, layer } = stage();
    const backend = new CopyBackend({ kernel: await openKernel({ adapter }) });
    const path = layer('all', {
      '': directory({ mode: 0o711, uid: 3, gid: 4, modifiedNs: 1_234_567_890_123_456_789n }),
      'bin/setuid': file('#!', { mode: 0o6755, uid: 10, gid: 20, xattrs: { 'user.a': 'b', 'trusted.x': 'y', 'security.test': 'z' } }),
      'bin/read-only': file('r', { mode: 0o444, modifiedNs: 1n }),
      'bin/no-access': file('n', { mode: 0 }),
      'bin/old': file('', { modifiedNs: -1_000_000_000n }),
      'bin/older': file('', { modifiedNs: -1_500_000_000n }),
      empty: file(''),
      large: file('x'.repeat(3_000_000)),
      setgid: directory({ mode: 0o2775, gid: 50 }),
      'setgid/own-group': file('', { gid: 60 }),
      'setgid/sub': directory({ mode: 0o755, gid: 0 }),
      sticky: directory({ mode: 0o1777, xattrs: { 'user.dir': 'd' } }),
      closed: directory({ mode: 0 }),
      'closed/inside': file('in'),
      link: symlink('no/such/target', { uid: 7, gid: 8, modifiedNs: 1_600_000_000_000_000_001n, xattrs: { 'trusted.link': 'l' } }),
      fifo: { type: 'fifo', mode: 0o620, uid: 1 },
      null: { type: 'device', major: 1, minor: 3, mode: 0o666 },
      far: { type: 'device', major: 4000, minor: 100_000 },
      hard: file('linked', { mode: 0o640, uid: 5 }),
      'bin/hard2': { type: 'link', to: 'hard' },
      'setgid/hard3': { type: 'link', to: 'hard' },
      'bin/hard-symlink': { type: 'link', to: 'link' },
      'bin/hard-device': { type: 'link', to: 'null' },
    });
    files.setXattr(join(path, 'bin/setuid'), 'security.capability', Buffer.from('0100000200200000002000000000000000000000', 'hex'));
    files.setXattr(join(path, 'empty'), 'system.posix_acl_access', acl(6, 7));
    files.setXattr(join(path, 'setgid'), 'system.posix_acl_default', acl(5, 6));
    files.setTimes(path, 1_234_567_890_123_456_789n, 1_234_567_890_123_456_789n);
    const accessed = lstatSync(join(path, 'large'), { bigint: true }).atimeNs;
    await backend.provision({ ...where, layers: [path] });
    expect(lstatSync(join(path, 'large'), { bigint: true }).atimeNs).toBe(accessed);
    // to the second where each exact time would start a program
    expect(lstatSync(join(rootfs, 'large'), { bigint: true }).atimeNs).toBe(adapter === 'koffi' ? accessed : accessed - (accessed % 1_000_000_000n));
    expectSameTree(path, rootfs);
    expect(readTree(rootfs).size).toBe(24);
  });

  it('names that are no UTF-8, and symlinks to such', async () => {
    const { backend, where, rootfs, layer } = stage();
    const path = layer('bytes', { d: directory() });
    const odd = Buffer.concat([Buffer.from(join(path, 'd')), Buffer.from([0x2f, 0xff, 0xfe, 0x0a])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from([0x2f, 0x80])]), 'content');
    await backend.provision({ ...where, layers: [path] });
    expectSameTree(path, rootfs);
    expect(readTree(rootfs).size).toBe(4);
  });

  it('hard links among the names that show, with their count; a hidden name is none', async () => {
    const { backend, where, rootfs, layer } = stage();
    const base = layer('base', {
      a: file('x'),
      'd/b': { type: 'link', to: 'a' },
      'd/c': { type: 'link', to: 'a' },
      alone: file('y'),
      'd/hidden': { type: 'link', to: 'alone' },
    });
    const top = layer('top', { 'd/c': whiteout, 'd/hidden': file('other') });
    await backend.provision({ ...where, layers: [base, top] });
    const [a, b, alone] = ['a', 'd/b', 'alone'].map((name) => statSync(join(rootfs, name)));
    expect([a?.nlink, b?.nlink, alone?.nlink]).toEqual([2, 2, 1]);
    expect(a?.ino).toBe(b?.ino);
    expect(statSync(join(base, 'a')).nlink).toBe(3);
    expect(lstatSync(join(rootfs, 'd'), { bigint: true }).mtimeNs).toBe(lstatSync(join(top, 'd'), { bigint: true }).mtimeNs);
  });

  it('holes: a file of 64 MiB with a few bytes in it takes a few blocks', async () => {
    const { backend, where, rootfs, layer } = stage();
    const path = layer('sparse', { hole: file('', { size: 64 * 1024 ** 2 }), ends: file('start'), dense: file('x'.repeat(100_000)) });
    const fd = openSync(join(path, 'ends'), 'r+');
    writeSync(fd, 'middle', 30 * 1024 ** 2);
    closeSync(fd);
    truncateSync(join(path, 'ends'), 64 * 1024 ** 2);
    await backend.provision({ ...where, layers: [path] });
    for (const name of ['hole', 'ends', 'dense']) {
      const [source, target] = [lstatSync(join(path, name)), lstatSync(join(rootfs, name))];
      expect(target.size).toBe(source.size);
      expect(target.blocks).toBeLessThanOrEqual(source.blocks + 8);
    }
    expectSameTree(path, rootfs);
  });

  it('modes and groups, whatever the umask and the directory that it works in', async () => {
    const { backend, where, rootfs, layer } = stage();
    const path = layer('modes', {
      'd/a': file('', { mode: 0o777 }),
      'd/b': file('', { mode: 0o640, gid: 20 }),
      d: directory({ mode: 0o777, gid: 20 }),
      l: symlink('x'),
    });
    const scratch = join(where.backendDir, 'scratch');
    mkdirSync(scratch, { recursive: true });
    chownSync(scratch, 0, 1234);
    chmodSync(scratch, 0o2755);
    const umask = process.umask(0o077);
    try {
      await backend.provision({ ...where, layers: [path] });
    } finally {
      process.umask(umask);
    }
    expectSameTree(path, rootfs);
  });

  it('what it can not keep it tells: a file system without attributes', async () => {
    const root = temporaryDirectory('copy');
    const { backend, where, rootfs, layer, swallowed } = stage(root);
    const path = layer('xattrs', { a: file('content', { xattrs: { 'user.a': 'b' } }) });
    mkdirSync(where.backendDir, { recursive: true });
    execFileSync('mount', ['-t', 'ramfs', 'ramfs', where.backendDir]);
    await backend.provision({ ...where, layers: [path] });
    expect(swallowed).toEqual([expect.stringMatching(/keep the attribute user\.a of .*\/a$/)]);
    expect(statSync(join(rootfs, 'a')).size).toBe(7);
  });
});

describe('copy: when it goes wrong', () => {
  itRoot('a full disk is COPY_FAILED with the path, and no rootfs is there', async () => {
    const { backend, where, rootfs, layer, partial } = stage();
    const path = layer('big', { 'd/a': file('a'), 'd/big': file('x'.repeat(4_000_000)) });
    mkdirSync(where.backendDir, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', where.backendDir]);
    await expect(backend.provision({ ...where, layers: [path] })).rejects.toMatchObject({
      code: 'COPY_FAILED',
      message: expect.stringMatching(/d\/big.*ENOSPC/) as unknown,
      details: { path: join(partial, 'd/big') },
      cause: { code: 'ENOSPC' },
    });
    expect(existsSync(rootfs)).toBe(false);
    expect(await backend.destroy(where)).toBe(true);
    expect(existsSync(dirname(partial))).toBe(false);
  });

  it('aborted half-way, it settles when no thread works any more, and leaves no rootfs', async () => {
    const { backend, where, rootfs, layer, partial } = stage();
    const path = layer('many', Object.fromEntries(Array.from({ length: 1500 }, (_, index) => [`d${index % 50}/f${index}`, file('x'.repeat(2000))])));
    const controller = new AbortController();
    const provision = backend.provision({ ...where, layers: [path] }, controller.signal);
    const outcome = provision.then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    while (!existsSync(join(partial, 'd0'))) await new Promise((resolve) => setTimeout(resolve, 1));
    controller.abort();
    expect(await outcome).toBe('ABORTED');
    const made = readdirSync(partial, { recursive: true }).length;
    expect(made).toBeLessThan(1550);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(readdirSync(partial, { recursive: true })).toHaveLength(made);
    expect(existsSync(rootfs)).toBe(false);
    expect(await backend.destroy(where)).toBe(true);
    await backend.provision({ ...where, layers: [path] });
    expect(readdirSync(rootfs)).toHaveLength(50);
  });

  it('killed at any moment, the rootfs is absent or complete, and destroy takes the rest', async () => {
    for (const entries of [1, 150, 450]) {
      const { backend, where, rootfs, layer, partial } = stage();
      const path = layer('many', Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`d${index % 20}/f${index}`, file('x')])));
      const victim = spawn(process.execPath, [join(import.meta.dirname, 'copy-victim.js'), where.rootfs, where.backendDir, path], {
        stdio: 'inherit',
      });
      onTestFinished(() => void victim.kill('SIGKILL'));
      const ended = new Promise((resolve) => victim.once('exit', resolve));
      while (victim.exitCode === null && countBelow(partial) < entries) await new Promise((resolve) => setTimeout(resolve, 1));
      victim.kill('SIGKILL');
      await ended;
      if (existsSync(rootfs)) expectSameTree(path, rootfs);
      expect(await backend.destroy(where)).toBe(true);
      expect([existsSync(rootfs), existsSync(dirname(partial))]).toEqual([false, false]);
    }
  });

  it('a thread that dies fails its task alone; the pool goes on', async () => {
    const pool = new CopyPool({ threads: 1 });
    await expect(pool.run(null as never)).rejects.toThrow(TypeError);
    const task = { aborted: new Int32Array(new SharedArrayBuffer(4)), defaults: { device: 0n, uid: 0, gid: 0, umask: 0, privileged: true } };
    await expect(pool.run({ kind: 'finish', ...task, directories: [], links: [], unfinished: [] })).resolves.toMatchObject({ directories: [] });
  });
});

describe('copy: several at once', () => {
  it('share the threads, and each gets its own tree', async () => {
    const { backend, root, layer } = stage();
    const layers = Array.from({ length: 6 }, (_, index) =>
      layer(
        `${index}`,
        Object.fromEntries(Array.from({ length: 40 * (6 - index) }, (_, entry) => [`d${entry % 9}/f${entry}`, file(`${index}-${entry}`)])),
      ),
    );
    const wheres = layers.map((_, index) => ({ backendDir: join(root, `c${index}`), rootfs: rootfsPath(join(root, `c${index}`), 'r') }));
    await Promise.all(wheres.map((where, index) => backend.provision({ ...where, layers: [layers[index] as string] })));
    for (const [index, where] of wheres.entries()) expectSameTree(layers[index] as string, where.rootfs);
  });
});

describe('copy: one directory', () => {
  it('is shared too, with its own metadata set when all threads are done with it', async () => {
    const { backend, where, rootfs, layer } = stage();
    const names = Array.from({ length: 700 }, (_, index) => `flat/f${index}`);
    const path = layer('flat', {
      flat: directory({ mode: 0o750, modifiedNs: 5_000_000_007n }),
      ...Object.fromEntries(names.map((name, index) => [name, file(index % 100 === 0 ? 'x'.repeat(1_000_000) : name)])),
      'flat/sub/inside': file(''),
    });
    await backend.provision({ ...where, layers: [path] });
    expectSameTree(path, rootfs);
  });
});

describeRoot('copy as an ordinary user', () => {
  const run = (root: string, where: { rootfs: string; backendDir: string }, layer: string): string => {
    execFileSync('chown', ['-R', '-h', '12345:12345', root]);
    return execFileSync(process.execPath, [join(import.meta.dirname, 'copy-victim.js'), where.rootfs, where.backendDir, layer], {
      uid: 12345,
      gid: 12345,
      encoding: 'utf8',
    });
  };

  it('keeps all that such a user can keep, in directories that may not be written too', async () => {
    const { root, where, rootfs, layer } = stage();
    const path = layer('user', {
      '': directory({ mode: 0o555 }),
      'ro/sub/file': file('content', { mode: 0o444, xattrs: { 'user.a': 'b' } }),
      'ro/sub': directory({ mode: 0o555, xattrs: { 'user.d': 'e' } }),
      ro: directory({ mode: 0o500 }),
      'ro/hard': { type: 'link', to: 'ro/sub/file' },
      setuid: file('', { mode: 0o4755 }),
      fifo: { type: 'fifo' },
      link: symlink('x'),
    });
    expect(run(root, where, path)).toBe('done\n');
    expectSameTree(path, rootfs);
  });

  it('says which device node it can not make', async () => {
    const { root, where, rootfs, layer } = stage();
    const path = layer('device', { 'dev/null': { type: 'device', major: 1, minor: 3 } });
    expect(run(root, where, path)).toMatch(/^COPY_FAILED .*dev\/null.*only root/);
    expect(existsSync(rootfs)).toBe(false);
  });
});

describeWith(['mkfs.ext4', 'losetup'], 'copy without d_type', () => {
  it('finds the types itself, in names that are no UTF-8 too', async () => {
    const { backend, where, rootfs, layer } = stage(loopFilesystem(['mkfs.ext4', '-q', '-O', '^filetype']));
    const path = layer('types', { 'd/ünïcödé': file('a'), 'd/link': symlink('x'), 'd/gone': file('') });
    writeFileSync(Buffer.concat([Buffer.from(`${path}/d/`), Buffer.from([0xff])]), 'b');
    await backend.provision({ ...where, layers: [path, layer('top', { 'd/gone': whiteout })] });
    expect([...readTree(rootfs)].map(([name, { type }]) => [name.length, type])).toEqual(
      expect.arrayContaining([
        [Buffer.byteLength('d/ünïcödé'), 'file'],
        ['d/link'.length, 'symlink'],
        [3, 'file'],
      ]),
    );
    expect(readTree(rootfs).size).toBe(5);
  });
});

for (const mkfs of [
  ['mkfs.btrfs', '-q'],
  ['mkfs.xfs', '-q', '-m', 'reflink=1'],
] as const)
  describeWith([mkfs[0], 'losetup', 'filefrag'], `copy where blocks can be shared: ${mkfs[0]}`, () => {
    it('shares them, and a write to one side does not show in the other', async () => {
      const { backend, where, rootfs, layer } = stage(loopFilesystem(mkfs));
      const path = layer('shared', { big: file('x'.repeat(8_000_000), { mode: 0o4711, uid: 5 }), small: file('s') });
      await backend.provision({ ...where, layers: [path] });
      expectSameTree(path, rootfs);
      execFileSync('sync', ['-f', rootfs]);
      expect(execFileSync('filefrag', ['-v', join(rootfs, 'big')], { encoding: 'utf8' })).toMatch(/shared/);
      writeFileSync(join(rootfs, 'big'), 'y');
      expect(statSync(join(path, 'big')).size).toBe(8_000_000);
    });
  });

function countBelow(path: string): number {
  try {
    return readdirSync(path, { recursive: true }).length;
  } catch {
    return 0;
  }
}

/** A POSIX ACL with one named user (xattr format, version 2). */
function acl(userPermissions: number, groupPermissions: number): Buffer {
  const entries = [
    [0x01, 7, 0xffffffff],
    [0x02, userPermissions, 1000],
    [0x04, groupPermissions, 0xffffffff],
    [0x10, 7, 0xffffffff],
    [0x20, 0, 0xffffffff],
  ];
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2, 0);
  for (const [index, [tag = 0, permissions = 0, id = 0]] of entries.entries()) {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id, 8 + 8 * index);
  }
  return value;
}
