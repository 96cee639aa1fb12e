import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Kernel, MountRequest } from '../../src/linux/kernel.ts';
import { isSystemError } from '../../src/linux/system-error.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** A kernel and the ways of looking through its mounts: node:fs for a real one. */
export interface KernelUnderTest {
  readonly kernel: Kernel;
  readonly read: (path: string) => string;
  /** Sorted. */
  readonly readdir: (path: string) => string[];
  readonly write: (path: string, data: string) => void;
  /** Keeps the mounts at `path` in use until the function that it gives is called. */
  readonly occupy: (path: string) => () => void;
}

/** What every {@link Kernel} does, the simulated one too. */
export function kernelConformance(name: string, make: () => Promise<KernelUnderTest>): void {
  describe(`kernel conformance: ${name}`, () => {
    overlaySuite(make);
    longAndOddSuite(make);
    mountErrorsSuite(make);
    bindSuite(make);
    propagationSuite(make);
    unmountSuite(make);
    tableSuite(make);
    filesystemSuite(make);
  });
}

/** The code of the SystemError that `call` fails with. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    expect(error.message).toContain(error.code);
    expect(error.errno).toBeLessThan(0);
    return error.code;
  }
  return 'no error';
}

type Make = () => Promise<KernelUnderTest>;

/** Directories of an overlay below a fresh directory. */
interface Scene {
  readonly root: string;
  readonly lowers: string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
}

/** `lowers` layers, each with a file of its own (`own-0` is in the topmost) and the same `common`; `odd` is put into every name. */
function scene(lowers: number, odd = ''): Scene {
  const root = temporaryDirectory('kernel');
  const directory = (path: string): string => {
    mkdirSync(join(root, path), { recursive: true });
    return join(root, path);
  };
  const layers = Array.from({ length: lowers }, (_, index) => {
    const layer = directory(`layer${odd}${index}`);
    writeFileSync(join(layer, `own-${index}`), `${index}`);
    writeFileSync(join(layer, 'common'), `from ${index}`);
    return layer;
  });
  return { root, lowers: layers, upper: directory(`upper${odd}`), work: directory(`work${odd}`), target: directory(`target${odd}`) };
}

function overlay({ lowers, upper, work, target }: Scene): MountRequest {
  const options: Array<[string, string]> = lowers.map((layer) => ['lowerdir+', layer]);
  return { type: 'overlay', source: 'overlay', target, options: [...options, ['upperdir', upper], ['workdir', work]] };
}

function overlaySuite(make: Make): void {
  it('merges the layers of an overlay, the first on top, and writes to the upper directory', async () => {
    const { kernel, read, readdir, write } = await make();
    const at = scene(2);
    await kernel.mount(overlay(at));
    expect(readdir(at.target)).toEqual(['common', 'own-0', 'own-1']);
    expect(read(join(at.target, 'common'))).toBe('from 0');
    write(join(at.target, 'new'), 'written');
    expect(read(join(at.upper, 'new'))).toBe('written');
    expect(readdir(at.lowers[0] ?? '')).toEqual(['common', 'own-0']);
    await kernel.unmount(at.target);
    expect(readdir(at.target)).toEqual([]);
  });

  it('hides what whiteouts and opaque directories hide', async () => {
    const { kernel, readdir } = await make();
    const at = scene(2);
    const [top = '', base = ''] = at.lowers;
    kernel.files.mknod(join(top, 'own-1'), 0o20600, 0, 0);
    for (const directory of [join(top, 'opaque'), join(base, 'opaque'), join(base, 'merged'), join(top, 'merged')]) {
      mkdirSync(directory);
      writeFileSync(join(directory, directory.startsWith(top) ? 'upper' : 'lower'), '');
    }
    kernel.files.setXattr(join(top, 'opaque'), 'trusted.overlay.opaque', Buffer.from('y'));
    await kernel.mount(overlay(at));
    expect(readdir(at.target)).toEqual(['common', 'merged', 'opaque', 'own-0']);
    expect(readdir(join(at.target, 'opaque'))).toEqual(['upper']);
    expect(readdir(join(at.target, 'merged'))).toEqual(['lower', 'upper']);
  });

  it('does not look at the opaque mark of a layer’s own root, as overlayfs does not', async () => {
    const { kernel, readdir } = await make();
    const at = scene(2);
    kernel.files.setXattr(at.lowers[0] ?? '', 'trusted.overlay.opaque', Buffer.from('y'));
    await kernel.mount(overlay(at));
    expect(readdir(at.target)).toEqual(['common', 'own-0', 'own-1']);
  });

  it('mounts read-only when told to', async () => {
    const { kernel, read, write } = await make();
    const at = scene(2);
    await kernel.mount({ ...overlay(at), readOnly: true });
    expect(read(join(at.target, 'own-1'))).toBe('1');
    expect(() => write(join(at.target, 'new'), '')).toThrow(/EROFS/);
    expect((await kernel.mountTable()).at(at.target)[0]?.options).toContain('ro');
  });

  it('keeps many mounts and unmounts at once apart', async () => {
    const { kernel, read } = await make();
    const scenes = Array.from({ length: 12 }, () => scene(2));
    await Promise.all(scenes.map((at) => kernel.mount(overlay(at))));
    expect(scenes.map((at) => read(join(at.target, 'own-1')))).toEqual(scenes.map(() => '1'));
    await Promise.all(scenes.map((at) => kernel.unmount(at.target, { detach: true })));
    const left = await Promise.all(scenes.map((at) => kernel.isMountPoint(at.target)));
    expect(left).toEqual(scenes.map(() => false));
  });
}

const ODD = {
  colon: ':',
  comma: ',',
  backslash: '\\',
  'backslash and octal': '\\054',
  space: ' ',
  quote: '"',
  newline: '\n',
  umlaut: 'ü',
  equals: '=',
};

function longAndOddSuite(make: Make): void {
  it.each(Object.entries(ODD))('takes a %s in every path', async (_, odd) => {
    const { kernel, read, readdir, write } = await make();
    const at = scene(2, `a${odd}b`);
    await kernel.mount(overlay(at));
    expect(readdir(at.target)).toEqual(['common', 'own-0', 'own-1']);
    write(join(at.target, 'new'), 'written');
    expect(read(join(at.upper, 'new'))).toBe('written');
    expect(await kernel.isMountPoint(at.target)).toBe(true);
    expect((await kernel.mountTable()).at(at.target)).toHaveLength(1);
    await kernel.unmount(at.target);
    expect(await kernel.isMountPoint(at.target)).toBe(false);
  });

  it('stacks more than 200 layers, named from a directory', async () => {
    const { kernel, readdir } = await make();
    const at = scene(240);
    const links = join(at.root, 'a directory: odd, \\ and long'.padEnd(250, '-'));
    mkdirSync(links);
    at.lowers.forEach((layer, index) => symlinkSync(layer, join(links, String(index))));
    const names = at.lowers.map((_, index) => String(index));
    const options: Array<[string, string]> = kernel.features.overlayLowerdirAppend
      ? names.map((layer) => ['lowerdir+', layer])
      : [['lowerdir', names.join(':')]];
    const request = overlay({ ...at, lowers: [] });
    await kernel.mount({ ...request, directory: links, options: [...options, ...(request.options ?? [])] });
    expect(readdir(at.target)).toHaveLength(241);
    await kernel.unmount(at.target);
  });

  it('takes a list of lower directories named from a directory', async () => {
    const { kernel, readdir } = await make();
    const at = scene(240);
    const request = overlay({ ...at, lowers: [] });
    const list = at.lowers.map((_, index) => `layer${index}`).join(':');
    await kernel.mount({ ...request, directory: at.root, options: [['lowerdir', list], ...(request.options ?? [])] });
    expect(readdir(at.target)).toHaveLength(241);
    await kernel.unmount(at.target);
  });

  it.each(Object.entries(ODD))('takes a short list from a directory with a %s in its name', async (_, odd) => {
    const { kernel, readdir } = await make();
    const at = scene(2);
    const directory = join(at.root, `a${odd}b`);
    mkdirSync(directory);
    at.lowers.forEach((layer, index) => symlinkSync(layer, join(directory, String(index))));
    const request = overlay({ ...at, lowers: [] });
    await kernel.mount({ ...request, directory, options: [['lowerdir', '0:1'], ...(request.options ?? [])] });
    expect(readdir(at.target)).toEqual(['common', 'own-0', 'own-1']);
    await kernel.unmount(at.target);
  });

  it('takes paths of more than 255 bytes', async () => {
    const { kernel, read, write } = await make();
    const at = scene(2, `/${'d'.repeat(200)}/${'e'.repeat(200)}/`);
    await kernel.mount(overlay(at));
    write(join(at.target, 'new'), 'written');
    expect(read(join(at.upper, 'new'))).toBe('written');
    await kernel.unmount(at.target);
  });

  it('refuses options that the kernel would cut short with E2BIG, and mounts nothing', async () => {
    const { kernel } = await make();
    const at = scene(60, '-'.repeat(100));
    const request = overlay({ ...at, lowers: [] });
    const mounted = kernel.mount({ ...request, options: [['lowerdir', at.lowers.join(':')], ...(request.options ?? [])] });
    expect(await codeOf(mounted)).toBe('E2BIG');
    expect(await kernel.isMountPoint(at.target)).toBe(false);
  });
}

function mountErrorsSuite(make: Make): void {
  it('says what is wrong with a mount by an errno', async () => {
    const { kernel } = await make();
    const at = scene(2);
    const request = overlay(at);
    const [top = '', base = ''] = at.lowers;
    const nested = join(at.upper, 'nested');
    mkdirSync(nested);
    const codes = {
      target: await codeOf(kernel.mount({ ...request, target: join(at.root, 'missing') })),
      lower: await codeOf(kernel.mount(overlay({ ...at, lowers: [join(at.root, 'missing'), base] }))),
      upper: await codeOf(kernel.mount(overlay({ ...at, upper: join(at.root, 'missing') }))),
      same: await codeOf(kernel.mount(overlay({ ...at, work: at.upper }))),
      nested: await codeOf(kernel.mount(overlay({ ...at, work: nested }))),
      twice: await codeOf(kernel.mount(overlay({ ...at, lowers: [top, top] }))),
      workless: await codeOf(kernel.mount({ ...request, options: (request.options ?? []).filter(([key]) => key !== 'workdir') })),
      option: await codeOf(kernel.mount({ ...request, options: [...(request.options ?? []), ['nonsense', 'yes']] })),
      type: await codeOf(kernel.mount({ ...request, type: 'nonsense' })),
      nul: await codeOf(kernel.mount({ ...request, target: `${at.target}\0` })),
    };
    expect(codes).toEqual({
      target: 'ENOENT',
      lower: 'ENOENT',
      upper: 'ENOENT',
      same: 'EINVAL',
      nested: 'EINVAL',
      twice: 'ELOOP',
      workless: 'EINVAL',
      option: 'EINVAL',
      type: 'ENODEV',
      nul: 'EINVAL',
    });
    expect((await kernel.mountTable()).atOrBelow(at.root)).toEqual([]);
  });

  it('does not mount on a symlink, nor a directory on a file', async () => {
    const { kernel } = await make();
    const at = scene(2);
    symlinkSync(at.target, join(at.root, 'link'));
    writeFileSync(join(at.root, 'file'), '');
    expect(await codeOf(kernel.mount({ ...overlay(at), target: join(at.root, 'link') }))).toBe('EINVAL');
    expect(await codeOf(kernel.bind(at.upper, join(at.root, 'link')))).toBe('EINVAL');
    expect(['EINVAL', 'ENOTDIR']).toContain(await codeOf(kernel.bind(at.upper, join(at.root, 'file'))));
    expect(['EINVAL', 'ENOTDIR']).toContain(await codeOf(kernel.bind(join(at.root, 'file'), at.target)));
    expect((await kernel.mountTable()).atOrBelow(at.root)).toEqual([]);
  });
}

function bindSuite(make: Make): void {
  it('[FS6] a read-only bind mount is really read-only, its source stays writable', async () => {
    const { kernel, read, write } = await make();
    const at = scene(1);
    const [source = ''] = at.lowers;
    await kernel.bind(source, at.target, { readOnly: true });
    expect(read(join(at.target, 'own-0'))).toBe('0');
    expect(() => write(join(at.target, 'own-0'), 'changed')).toThrow(/EROFS/);
    expect(() => write(join(at.target, 'new'), '')).toThrow(/EROFS/);
    write(join(source, 'own-0'), 'changed');
    expect(read(join(at.target, 'own-0'))).toBe('changed');
    expect((await kernel.mountTable()).at(at.target)[0]).toMatchObject({ root: expect.stringMatching(/layer0$/) as string });
    await kernel.unmount(at.target);
  });

  it('binds a directory for writing, and a file', async () => {
    const { kernel, read, write } = await make();
    const at = scene(1);
    const [source = ''] = at.lowers;
    await kernel.bind(source, at.target);
    write(join(at.target, 'new'), 'written');
    expect(read(join(source, 'new'))).toBe('written');
    const file = join(at.root, 'file');
    writeFileSync(file, '');
    await kernel.bind(join(source, 'own-0'), file);
    expect(read(file)).toBe('0');
    expect(await kernel.isMountPoint(file)).toBe(true);
  });

  it('binds not recursively, and ENOENT where the source is missing', async () => {
    const { kernel, readdir } = await make();
    const at = scene(2);
    const inside = join(at.upper, 'inside');
    mkdirSync(inside);
    await kernel.bind(at.lowers[0] ?? '', inside);
    await kernel.bind(at.upper, at.target);
    expect(readdir(inside)).toEqual(['common', 'own-0']);
    expect(readdir(join(at.target, 'inside'))).toEqual([]);
    expect(await codeOf(kernel.bind(join(at.root, 'missing'), at.target))).toBe('ENOENT');
  });
}

function propagationSuite(make: Make): void {
  it('[FS7] shared and slave are seen in the optional fields', async () => {
    const { kernel } = await make();
    const at = scene(0);
    const copy = join(at.root, 'copy');
    mkdirSync(copy);
    const groups = async (path: string): Promise<unknown> => {
      const mount = (await kernel.mountTable()).at(path).at(-1);
      return { shared: mount?.shared !== undefined, master: mount?.master !== undefined };
    };
    await kernel.bind(at.target, at.target);
    await kernel.setPropagation(at.target, 'private');
    expect(await groups(at.target)).toEqual({ shared: false, master: false });
    await kernel.setPropagation(at.target, 'shared');
    expect(await groups(at.target)).toEqual({ shared: true, master: false });
    await kernel.bind(at.target, copy);
    const table = await kernel.mountTable();
    expect(table.at(copy).at(-1)?.shared).toBe(table.at(at.target).at(-1)?.shared);
    await kernel.setPropagation(copy, 'slave');
    expect(await groups(copy)).toEqual({ shared: false, master: true });
    await kernel.setPropagation(copy, 'shared');
    expect(await groups(copy)).toEqual({ shared: true, master: true });
    const after = await kernel.mountTable();
    expect(after.at(copy).at(-1)?.master).toBe(after.at(at.target).at(-1)?.shared);
    expect(after.at(copy).at(-1)?.shared).not.toBe(after.at(at.target).at(-1)?.shared);
    await kernel.setPropagation(copy, 'unbindable');
    expect((await kernel.mountTable()).at(copy).at(-1)).toMatchObject({ unbindable: true });
    expect(await codeOf(kernel.bind(copy, at.upper))).toBe('EINVAL');
  });

  it('mounts travel from master to slave and not back, and so do unmounts', async () => {
    const { kernel, readdir } = await make();
    const at = scene(1);
    const copy = join(at.root, 'copy');
    for (const path of [copy, join(at.target, 'a'), join(at.target, 'b')]) mkdirSync(path);
    const [source = ''] = at.lowers;
    await kernel.bind(at.target, at.target);
    await kernel.setPropagation(at.target, 'private');
    await kernel.setPropagation(at.target, 'shared');
    await kernel.bind(at.target, copy);
    await kernel.setPropagation(copy, 'slave');
    await kernel.bind(source, join(at.target, 'a'));
    await kernel.bind(source, join(copy, 'b'));
    expect(readdir(join(copy, 'a'))).toEqual(['common', 'own-0']);
    expect(readdir(join(at.target, 'b'))).toEqual([]);
    await kernel.unmount(join(at.target, 'a'));
    expect(readdir(join(copy, 'a'))).toEqual([]);
    expect(readdir(join(copy, 'b'))).toEqual(['common', 'own-0']);
  });

  it('is EINVAL where nothing is mounted, ENOENT where nothing is', async () => {
    const { kernel } = await make();
    const at = scene(0);
    expect(await codeOf(kernel.setPropagation(at.target, 'shared'))).toBe('EINVAL');
    expect(await codeOf(kernel.setPropagation(join(at.root, 'missing'), 'shared'))).toBe('ENOENT');
  });
}

function unmountSuite(make: Make): void {
  it('takes stacked mounts away from the top', async () => {
    const { kernel, readdir } = await make();
    const at = scene(2);
    const [first = '', second = ''] = at.lowers;
    await kernel.bind(first, at.target);
    await kernel.bind(second, at.target);
    expect(readdir(at.target)).toEqual(['common', 'own-1']);
    expect((await kernel.mountTable()).at(at.target).map(({ root }) => root.slice(-1))).toEqual(['0', '1']);
    await kernel.unmount(at.target);
    expect(readdir(at.target)).toEqual(['common', 'own-0']);
    await kernel.unmount(at.target);
    expect(readdir(at.target)).toEqual([]);
  });

  it('is EBUSY for a mount in use, which detach takes away all the same', async () => {
    const { kernel, occupy } = await make();
    const at = scene(1);
    await kernel.bind(at.lowers[0] ?? '', at.target);
    const release = occupy(at.target);
    try {
      expect(await codeOf(kernel.unmount(at.target))).toBe('EBUSY');
      expect(await kernel.isMountPoint(at.target)).toBe(true);
      await kernel.unmount(at.target, { detach: true });
      expect(await kernel.isMountPoint(at.target)).toBe(false);
    } finally {
      release();
    }
  });

  it('is EBUSY for a mount with others below, which detach takes away with it', async () => {
    const { kernel } = await make();
    const at = scene(1);
    const inside = join(at.upper, 'inside');
    mkdirSync(inside);
    await kernel.bind(at.upper, at.target);
    await kernel.bind(at.lowers[0] ?? '', join(at.target, 'inside'));
    expect(await codeOf(kernel.unmount(at.target))).toBe('EBUSY');
    await kernel.unmount(at.target, { detach: true });
    expect((await kernel.mountTable()).atOrBelow(at.root)).toEqual([]);
  });

  it('never follows a symlink, and is EINVAL or ENOENT where nothing is mounted', async () => {
    const { kernel } = await make();
    const at = scene(1);
    symlinkSync(at.target, join(at.root, 'link'));
    await kernel.bind(at.lowers[0] ?? '', at.target);
    expect(await codeOf(kernel.unmount(join(at.root, 'link'), { detach: true }))).toBe('EINVAL');
    expect(await kernel.isMountPoint(at.target)).toBe(true);
    expect(await codeOf(kernel.unmount(at.upper))).toBe('EINVAL');
    expect(await codeOf(kernel.unmount(join(at.target, 'own-0')))).toBe('EINVAL');
    expect(await codeOf(kernel.unmount(join(at.root, 'missing')))).toBe('ENOENT');
  });

  it('tells mount points from what only looks like one', async () => {
    const { kernel } = await make();
    const at = scene(1);
    symlinkSync(at.target, join(at.root, 'link'));
    symlinkSync(at.root, join(at.root, 'loop'));
    await kernel.bind(at.lowers[0] ?? '', at.target);
    const paths = {
      target: at.target,
      'through a symlinked parent': join(at.root, 'loop', 'target'),
      'the root': '/',
      'a symlink to it': join(at.root, 'link'),
      'a directory': at.upper,
      'a file in it': join(at.target, 'own-0'),
      'a prefix': at.target.slice(0, -1),
      'nothing there': join(at.root, 'missing', 'deeper'),
      'below a file': join(at.target, 'own-0', 'deeper'),
    };
    const found: Record<string, boolean> = {};
    for (const [name, path] of Object.entries(paths)) found[name] = await kernel.isMountPoint(path);
    expect(found).toEqual({
      target: true,
      'through a symlinked parent': true,
      'the root': true,
      'a symlink to it': false,
      'a directory': false,
      'a file in it': false,
      'a prefix': false,
      'nothing there': false,
      'below a file': false,
    });
  });
}

function tableSuite(make: Make): void {
  it('[FS8] containing() finds the mount of a path: exact, a file inside, a file mount, not a prefix-named sibling', async () => {
    const { kernel } = await make();
    const at = scene(2);
    const [first = '', second = ''] = at.lowers;
    const [sibling, file] = [`${at.target}-sibling`, join(at.root, 'file')];
    mkdirSync(sibling);
    writeFileSync(file, '');
    await kernel.bind(first, at.target);
    await kernel.bind(join(second, 'own-1'), file);
    const table = await kernel.mountTable();
    expect(table.containing(at.target)?.target).toBe(at.target);
    expect(table.containing(join(at.target, 'own-0'))?.target).toBe(at.target);
    expect(table.containing(file)?.target).toBe(file);
    expect(table.containing(sibling)).toEqual(table.containing(at.root));
    expect(table.containing(sibling)?.target).not.toBe(at.target);
    expect(table.containing('/')?.target).toBe('/');
  });

  it('[FS5] lists parents before children, and what lies at or below a path', async () => {
    const { kernel } = await make();
    const at = scene(2);
    const inside = join(at.upper, 'inside');
    mkdirSync(inside);
    await kernel.bind(at.upper, at.target);
    await kernel.bind(at.lowers[0] ?? '', join(at.target, 'inside'));
    await kernel.bind(at.lowers[1] ?? '', inside);
    const table = await kernel.mountTable();
    expect(table.atOrBelow(at.target).map(({ target }) => target)).toEqual([at.target, join(at.target, 'inside')]);
    const position = new Map(table.mounts.map(({ id }, index) => [id, index]));
    for (const { id, parentId } of table.mounts) if (parentId !== id) expect(position.get(parentId) ?? -1).toBeLessThan(position.get(id) as number);
  });
}

function filesystemSuite(make: Make): void {
  it('[FS1] knows proc, sysfs and overlay, and not a made-up file system', async () => {
    const { kernel } = await make();
    const types = await kernel.filesystems();
    expect(['proc', 'sysfs', 'overlay'].filter((type) => types.has(type))).toEqual(['proc', 'sysfs', 'overlay']);
    expect(types.has('nonsense')).toBe(false);
    expect(types.has('')).toBe(false);
  });

  it('names the file system of a path, and ENOENT where nothing is', async () => {
    const { kernel } = await make();
    const at = scene(2);
    await kernel.mount(overlay(at));
    expect(await kernel.filesystemType(join(at.target, 'own-1'))).toEqual({ magic: 0x794c7630, name: 'overlay' });
    expect(await kernel.filesystemType('/proc')).toEqual({ magic: 0x9fa0, name: 'proc' });
    expect(await codeOf(kernel.filesystemType(join(at.root, 'missing')))).toBe('ENOENT');
  });

  it('flushes the file system of a path, and ENOENT where nothing is', async () => {
    const { kernel } = await make();
    const at = scene(1);
    await kernel.syncFilesystem(at.root);
    await kernel.syncFilesystem(join(at.lowers[0] ?? '', 'own-0'));
    expect(await codeOf(kernel.syncFilesystem(join(at.root, 'missing')))).toBe('ENOENT');
  });
}
