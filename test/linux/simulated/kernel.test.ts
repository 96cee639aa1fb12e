import { mkdirSync, renameSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SimulatedKernel } from '../../../src/linux/simulated/kernel.ts';
import { codeOf } from '../../conformance/kernel.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

function directories(...names: string[]): { root: string; at: (name: string) => string } {
  const root = temporaryDirectory('simulated');
  const at = (name: string): string => join(root, name);
  for (const name of names) mkdirSync(at(name), { recursive: true });
  return { root, at };
}

describe('SimulatedKernel: failures on demand', () => {
  it('failNext fails one call of that name, and the call does nothing', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('source', 'target');
    kernel.failNext('bind', 'EIO');
    expect(await codeOf(kernel.bind(at('source'), at('target')))).toBe('EIO');
    expect(await kernel.isMountPoint(at('target'))).toBe(false);
    await kernel.bind(at('source'), at('target'));
    kernel.failNext('unmount', 16);
    kernel.failNext('unmount', 'EPERM');
    expect([await codeOf(kernel.unmount(at('target'))), await codeOf(kernel.unmount(at('target')))]).toEqual(['EBUSY', 'EPERM']);
    await kernel.unmount(at('target'));
  });

  it('failWhen sees every call, until it is ended', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('source', 'target');
    const end = kernel.failWhen(({ name, path, detail }) =>
      name === 'bind' && path === at('target') && detail === at('source') ? 'ENOMEM' : undefined,
    );
    expect(await codeOf(kernel.bind(at('source'), at('target')))).toBe('ENOMEM');
    expect(await codeOf(kernel.bind(at('target'), at('source')))).toBe('no error');
    end();
    expect(await codeOf(kernel.bind(at('target'), at('source')))).toBe('no error');
  });

  it('keeps a log of the calls, failed ones too', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('source', 'target');
    await kernel.bind(at('source'), at('target'));
    await kernel.setPropagation(at('target'), 'slave');
    await kernel.unmount(at('target'), { detach: true });
    await codeOf(kernel.unmount(at('target')));
    expect(kernel.calls).toEqual([
      { name: 'bind', path: at('target'), detail: at('source') },
      { name: 'setPropagation', path: at('target'), detail: 'slave' },
      { name: 'unmount', path: at('target'), detail: 'detach' },
      { name: 'unmount', path: at('target') },
    ]);
  });

  it('beforeCall orders the calls of concurrent work', async () => {
    const waiting: Array<() => void> = [];
    const kernel = new SimulatedKernel({ beforeCall: () => new Promise((resolve) => waiting.push(resolve)) });
    const { at } = directories('source', 'target');
    const unmounting = codeOf(kernel.unmount(at('target')));
    const binding = codeOf(kernel.bind(at('source'), at('target')));
    waiting[1]?.();
    expect(await binding).toBe('no error');
    waiting[0]?.();
    expect(await unmounting).toBe('no error');
  });
});

describe('SimulatedKernel: the machine', () => {
  it('reboot takes every mount and leaves the files', async () => {
    const kernel = new SimulatedKernel({ rootPropagation: 'shared' });
    const { at } = directories('source/inside', 'target');
    writeFileSync(at('source/file'), '');
    await kernel.bind(at('source'), at('target'));
    await kernel.bind(at('source'), at('target/inside'));
    kernel.reboot();
    expect(kernel.table().mounts.map(({ target }) => target)).toEqual(['/']);
    expect([kernel.readdir(at('target')), kernel.readdir(at('source'))]).toEqual([[], ['file', 'inside']]);
    await kernel.bind(at('source'), at('target'));
    expect(kernel.readdir(at('target'))).toEqual(['file', 'inside']);
  });

  it('tells mount points that were deleted under their mount', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('source', 'target', 'other');
    await kernel.bind(at('source'), at('target'));
    await kernel.bind(at('source'), at('other'));
    expect(kernel.deletedMountPoints()).toEqual([]);
    rmdirSync(at('target'));
    expect(kernel.deletedMountPoints()).toEqual([at('target')]);
  });

  it('below a shared root every mount is shared, and slave with its peers after slave and shared', async () => {
    const kernel = new SimulatedKernel({ rootPropagation: 'shared' });
    const { at } = directories('source', 'target');
    await kernel.bind(at('source'), at('target'));
    const root = kernel.table().at('/')[0]?.shared;
    expect(kernel.table().at(at('target'))[0]).toMatchObject({ shared: root });
    await kernel.setPropagation(at('target'), 'slave');
    await kernel.setPropagation(at('target'), 'shared');
    const mount = kernel.table().at(at('target'))[0];
    expect(mount).toMatchObject({ master: root });
    expect(mount?.shared).not.toBe(root);
  });

  it('the slaves of a group whose last peer goes, go to its master or stand alone', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('a', 'b', 'c');
    await kernel.bind(at('a'), at('a'));
    await kernel.setPropagation(at('a'), 'shared');
    await kernel.bind(at('a'), at('b'));
    await kernel.setPropagation(at('b'), 'slave');
    await kernel.setPropagation(at('b'), 'shared');
    await kernel.bind(at('b'), at('c'));
    await kernel.setPropagation(at('c'), 'slave');
    const group = kernel.table().at(at('a')).at(-1)?.shared;
    await kernel.unmount(at('b'));
    expect(kernel.table().at(at('c'))[0]?.master).toBe(group);
    await kernel.unmount(at('a'));
    expect(kernel.table().at(at('c'))[0]?.master).toBeUndefined();
  });

  it('can be a kernel that cuts long options: ENOENT, and one without a file system: ENODEV', async () => {
    const { at } = directories('lower', 'target');
    const lower = Array.from({ length: 300 }, () => at('lower')).join(':');
    const cutting = new SimulatedKernel({ tooLong: 'ENOENT', overlayLowerdirAppend: false });
    const request = { type: 'overlay', source: 'overlay', target: at('target'), options: [['lowerdir', lower]] as const };
    expect(await codeOf(cutting.mount(request))).toBe('ENOENT');
    expect(await codeOf(new SimulatedKernel().mount(request))).toBe('E2BIG');
    const without = new SimulatedKernel({ filesystems: ['proc'] });
    expect(await codeOf(without.mount(request))).toBe('ENODEV');
    expect([...(await without.filesystems())]).toEqual(['proc']);
  });

  it('can refuse option values over a length', async () => {
    const kernel = new SimulatedKernel({ optionValueBytes: 255 });
    const { at } = directories('lower', 'target');
    const mount = (lower: string): Promise<string> =>
      codeOf(kernel.mount({ type: 'overlay', source: 'overlay', target: at('target'), options: [['lowerdir+', lower]] }));
    expect([await mount(at('lower').padEnd(256, '/')), await mount(at('lower').padEnd(255, '/'))]).toEqual(['E2BIG', 'EINVAL']);
  });

  it('splits a lower list at every colon, as overlayfs does: ENOENT for a name that holds one', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('sha256:1', 'lower', 'target');
    const options = [['lowerdir', `${at('sha256:1')}:${at('lower')}`]] as const;
    expect(await codeOf(kernel.mount({ type: 'overlay', source: 'overlay', target: at('target'), options }))).toBe('ENOENT');
  });

  it('mounts tmpfs, which is empty and takes files', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('target');
    await kernel.mount({ type: 'tmpfs', source: 'tmpfs', target: at('target') });
    kernel.write(at('target/file'), 'x');
    expect([kernel.read(at('target/file')).toString(), kernel.readdir(at('target'))]).toEqual(['x', ['file']]);
    expect(await kernel.filesystemType(at('target'))).toMatchObject({ name: 'tmpfs' });
  });
});

describe('SimulatedKernel: unions', () => {
  it('shows aufs branches with their .wh. files', async () => {
    const kernel = new SimulatedKernel({ filesystems: ['aufs'] });
    const { at } = directories('work', 'top/opaque', 'base/opaque', 'target');
    for (const name of ['top/own', 'top/.wh.gone', 'top/opaque/.wh..wh..opq', 'top/opaque/new', 'base/gone', 'base/kept', 'base/opaque/old'])
      writeFileSync(at(name), name);
    const dirs = `${at('work')}=rw:${at('top')}=ro+wh:${at('base')}=ro+wh`;
    await kernel.mount({ type: 'aufs', source: 'aufs', target: at('target'), options: [['dirs', dirs]] });
    expect([kernel.readdir(at('target')), kernel.readdir(at('target/opaque'))]).toEqual([['kept', 'opaque', 'own'], ['new']]);
    kernel.write(at('target/opaque/written'), 'x');
    expect(kernel.read(at('work/opaque/written')).toString()).toBe('x');
    expect(
      await codeOf(kernel.mount({ type: 'aufs', source: 'aufs', target: at('target'), options: [['dirs', `${at('top')}=rw:${at('top')}=ro`]] })),
    ).toBe('EINVAL');
  });

  it('a file hides a directory of a lower layer and the other way round, and links are followed across layers', async () => {
    const kernel = new SimulatedKernel();
    const { at } = directories('top/d', 'base/f', 'upper', 'work', 'target');
    for (const name of ['top/f', 'base/d', 'base/f/inside']) if (name !== 'base/d') writeFileSync(at(name), name);
    writeFileSync(at('base/d'), 'file');
    symlinkSync('f', at('top/link'));
    const options = [
      ['lowerdir+', at('top')],
      ['lowerdir+', at('base')],
      ['upperdir', at('upper')],
      ['workdir', at('work')],
    ] as const;
    await kernel.mount({ type: 'overlay', source: 'overlay', target: at('target'), options });
    expect([kernel.typeOf(at('target/d')), kernel.typeOf(at('target/f')), kernel.typeOf(at('target/link'))]).toEqual([
      'directory',
      'file',
      'symlink',
    ]);
    expect(kernel.read(at('target/link')).toString()).toBe('top/f');
    expect(kernel.typeOf(at('target/missing'))).toBeUndefined();
  });
});

describe('SimulatedKernel without privileges', () => {
  it('keeps devices and trusted attributes beside, also after a rename', () => {
    const { files } = new SimulatedKernel({ privileged: false });
    const { at } = directories('layer');
    files.mknod(at('layer/gone'), 0o020600, 0, 0);
    files.setXattr(at('layer'), 'trusted.overlay.opaque', Buffer.from('y'));
    renameSync(at('layer'), at('moved'));
    expect(files.deviceOf(at('moved/gone'))).toEqual({ major: 0, minor: 0 });
    expect(files.getXattr(at('moved'), 'trusted.overlay.opaque')?.toString()).toBe('y');
    expect(files.listXattrs(at('moved')).map(String)).toEqual(['trusted.overlay.opaque']);
    expect(files.getXattr(at('moved/gone'), 'trusted.overlay.opaque')).toBeUndefined();
  });
});
