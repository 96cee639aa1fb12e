import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { MountRequest } from '../../src/linux/kernel.ts';
import { KoffiKernel } from '../../src/linux/koffi-kernel.ts';
import { ASYNC_CALLS, loadLibc } from '../../src/linux/libc.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { bytesOf, textOf } from '../../src/linux/path-bytes.ts';
import { removeTree } from '../../src/linux/remove-tree.ts';
import { unmountAll } from '../../src/linux/unmount-all.ts';
import { describeRoot, itRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { koffiKernel } from './kernels.ts';

it('openKernel takes koffi where it loads, and the other when told to', async () => {
  expect((await openKernel()).name).toBe(loadLibc() === undefined ? 'util-linux' : 'koffi');
  expect((await openKernel({ adapter: 'util-linux' })).name).toBe('util-linux');
});

itRoot('features are what a mount then shows', async () => {
  const kernel = koffiKernel();
  const request = overlay();
  const appended = kernel.mount(request);
  if (kernel.features.overlayLowerdirAppend) {
    await appended;
    expect((await kernel.mountTable()).at(request.target)[0]?.superOptions.some((option) => option.startsWith('lowerdir+='))).toBe(true);
  } else await appended.catch(() => undefined);
});

describeRoot('koffi', () => {
  it('shows the layers of an overlay by their paths in the mount table, odd and long ones too', async () => {
    const kernel = koffiKernel();
    if (!kernel.features.overlayLowerdirAppend) return;
    const request = overlay(`o\\dd/${'long'.repeat(60)}`);
    await kernel.mount(request);
    const shown = (await kernel.mountTable()).at(request.target)[0]?.superOptions.filter((option) => /^(lowerdir|upperdir|workdir)/.test(option));
    expect(shown).toEqual((request.options ?? []).map(([key, value]) => `${key}=${value}`));
  });

  it('tells what the kernel said about a failed mount', async () => {
    const request = overlay();
    const failing = koffiKernel().mount({ ...request, options: [...(request.options ?? []), ['nonsense', '1']] });
    await expect(failing).rejects.toMatchObject({ code: 'EINVAL', message: expect.stringMatching(/nonsense/) as string });
  });

  it('keeps mount flags apart from options of the file system', async () => {
    for (const kernel of [koffiKernel(), koffiKernel({ mountApi: 'mount(2)' })]) {
      const target = temporaryDirectory('koffi');
      await kernel.mount({ type: 'tmpfs', source: 'scratch', target, options: [['nosuid'], ['nodev'], ['size', '64k'], ['mode', '0700']] });
      const mount = (await kernel.mountTable()).at(target)[0];
      expect(mount?.options).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev']));
      expect(mount?.superOptions).toEqual(expect.arrayContaining(['size=64k', 'mode=700']));
      expect(mount).toMatchObject({ source: 'scratch', type: 'tmpfs' });
      await kernel.unmount(target);
    }
  });

  it('a read-only bind keeps the flags that it inherits', async () => {
    for (const kernel of [koffiKernel(), koffiKernel({ mountApi: 'mount(2)' }), await openKernel({ adapter: 'util-linux' })]) {
      const root = temporaryDirectory('koffi');
      for (const name of ['source', 'target']) mkdirSync(join(root, name));
      await kernel.mount({ type: 'tmpfs', source: 'scratch', target: join(root, 'source'), options: [['nosuid'], ['nodev'], ['noexec']] });
      await kernel.bind(join(root, 'source'), join(root, 'target'), { readOnly: true });
      const options = (await kernel.mountTable()).at(join(root, 'target'))[0]?.options;
      expect(options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']));
      await kernel.unmount(join(root, 'target'));
      await kernel.unmount(join(root, 'source'));
    }
  });

  it('takes more calls at once than koffi runs, each with its own errno', async () => {
    const kernel = koffiKernel();
    const directory = temporaryDirectory('koffi');
    writeFileSync(join(directory, 'file'), '');
    const count = ASYNC_CALLS * 5;
    const codes = await Promise.all(
      Array.from({ length: count }, (_, index) =>
        kernel.unmount(join(directory, index % 2 === 0 ? 'missing' : 'file')).catch((error: NodeJS.ErrnoException) => error.code),
      ),
    );
    expect(codes).toEqual(Array.from({ length: count }, (_, index) => (index % 2 === 0 ? 'ENOENT' : 'EINVAL')));
  });

  it('takes paths that are no UTF-8, and finds them in the mount table', async () => {
    for (const kernel of [koffiKernel(), koffiKernel({ mountApi: 'mount(2)' })]) {
      const root = temporaryDirectory('koffi');
      const odd = join(root, textOf(Buffer.from([0x61, 0xff, 0xfe])));
      for (const name of ['/upper', '/work', '/top', '/base', '/target'])
        mkdirSync(Buffer.concat([bytesOf(odd), Buffer.from(name)]), { recursive: true });
      const options = [
        ['lowerdir+', join(odd, 'top')],
        ['lowerdir+', join(odd, 'base')],
        ['upperdir', join(odd, 'upper')],
        ['workdir', join(odd, 'work')],
      ] as const;
      await kernel.mount({ type: 'overlay', source: 'overlay', target: join(odd, 'target'), options });
      await kernel.bind(join(odd, 'top'), join(odd, 'base'), { readOnly: true });
      expect((await kernel.mountTable()).atOrBelow(root).map(({ target }) => target)).toEqual([join(odd, 'target'), join(odd, 'base')]);
      await expect(removeTree(kernel, odd)).rejects.toMatchObject({ code: 'EBUSY' });
      expect(await unmountAll(kernel, root)).toBe(2);
      expect(await removeTree(kernel, odd)).toBe(true);
    }
  });

  it('leaves no descriptor open, failed calls included', async () => {
    const kernel = new KoffiKernel(loadLibc() as NonNullable<ReturnType<typeof loadLibc>>);
    const { readdirSync } = await import('node:fs');
    const request = overlay(`o\\dd/${'long'.repeat(60)}`);
    const before = readdirSync('/proc/self/fd').length;
    for (let turn = 0; turn < 3; turn += 1) {
      await kernel.mount(request);
      await kernel.unmount(request.target);
      await kernel.mount({ ...request, target: `${request.target}/missing` }).catch(() => undefined);
      await kernel.mount({ ...request, options: [...(request.options ?? []), ['nonsense', '1']] }).catch(() => undefined);
      await kernel.bind(request.target, request.target, { readOnly: true });
      await kernel.unmount(request.target, { detach: true });
      await kernel.bind(request.target, `${request.target}/missing`).catch(() => undefined);
      await kernel.syncFilesystem(request.target);
    }
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });
});

function overlay(odd = 'plain'): MountRequest {
  const root = temporaryDirectory('koffi');
  const make = (name: string): string => {
    mkdirSync(join(root, odd, name), { recursive: true });
    return join(root, odd, name);
  };
  const options: Array<[string, string]> = [
    ['lowerdir+', make('top')],
    ['lowerdir+', make('base')],
    ['upperdir', make('upper')],
    ['workdir', make('work')],
  ];
  return { type: 'overlay', source: 'overlay', target: make('target'), options };
}
