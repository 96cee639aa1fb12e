import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unmountAll } from '../../src/linux/unmount-all.ts';
import type { KernelUnderTest } from '../conformance/kernel.ts';
import { describeRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { koffiKernel, realKernel, simulatedKernel } from './kernels.ts';

describeRoot('koffi', () => unmountAllSuite(() => realKernel(koffiKernel())));
describe('simulated', () => unmountAllSuite(() => simulatedKernel()));

function unmountAllSuite(make: () => KernelUnderTest): void {
  it('takes away stacked, nested and hidden mounts, and says how many', async () => {
    const { kernel } = make();
    const { target, source } = directories();
    await kernel.bind(source, join(target, 'hidden'));
    await kernel.bind(source, target);
    await kernel.bind(source, target);
    await kernel.bind(source, join(target, 'inside'));
    expect(await unmountAll(kernel, target)).toBe(3);
    expect((await kernel.mountTable()).atOrBelow(target)).toEqual([]);
  });

  it('takes away mounts below a directory that is none, deepest first, one covering another too', async () => {
    const { kernel } = make();
    const { target, source } = directories();
    await kernel.bind(source, join(target, 'hidden'));
    await kernel.bind(source, join(target, 'hidden', 'inside'));
    mkdirSync(join(target, 'a', 'b'), { recursive: true });
    await kernel.bind(source, join(target, 'a', 'b'));
    await kernel.bind(source, join(target, 'a'));
    expect(await unmountAll(kernel, target)).toBe(4);
    expect((await kernel.mountTable()).atOrBelow(target)).toEqual([]);
  });

  it('finds them through a symlinked parent, and leaves a prefix-named sibling alone', async () => {
    const { kernel } = make();
    const { root, target, source } = directories();
    symlinkSync(root, join(root, 'loop'));
    mkdirSync(`${target}-sibling`);
    await kernel.bind(source, `${target}-sibling`);
    await kernel.bind(source, join(target, 'hidden'));
    expect(await unmountAll(kernel, join(root, 'loop', 'target'))).toBe(1);
    expect(await kernel.isMountPoint(`${target}-sibling`)).toBe(true);
  });

  it('takes away the mount of a file', async () => {
    const { kernel } = make();
    const { root, source } = directories();
    writeFileSync(join(root, 'file'), '');
    await kernel.bind(join(source, 'content'), join(root, 'file'));
    expect(await unmountAll(kernel, join(root, 'file'))).toBe(1);
  });

  it('is 0 where nothing is mounted, and where nothing is', async () => {
    const { kernel } = make();
    const { root, target } = directories();
    expect(await unmountAll(kernel, target)).toBe(0);
    expect(await unmountAll(kernel, join(root, 'missing', 'deeper'))).toBe(0);
    expect(await unmountAll(kernel, join(target, 'file', 'deeper'))).toBe(0);
  });

  it('takes away a busy mount', async () => {
    const { kernel, occupy } = make();
    const { target, source } = directories();
    await kernel.bind(source, target);
    const release = occupy(target);
    try {
      expect(await unmountAll(kernel, target)).toBe(1);
      expect(await kernel.isMountPoint(target)).toBe(false);
    } finally {
      release();
    }
  });
}

describe('unmountAll', () => {
  it('fails with the error of a mount that does not go, and can be called again', async () => {
    const { kernel } = simulatedKernel();
    const { target, source } = directories();
    await kernel.bind(source, target);
    await kernel.bind(source, join(target, 'inside'));
    kernel.failNext('unmount', 'EPERM');
    await expect(unmountAll(kernel, target)).rejects.toMatchObject({ code: 'EPERM' });
    expect(await unmountAll(kernel, target)).toBe(1);
    await kernel.bind(source, join(target, 'hidden'));
    kernel.failNext('unmount', 'EPERM');
    await expect(unmountAll(kernel, target)).rejects.toMatchObject({ code: 'EPERM' });
    expect(await unmountAll(kernel, target)).toBe(1);
  });

  it('goes on when another hand was quicker', async () => {
    const { kernel } = simulatedKernel();
    const { target, source } = directories();
    await kernel.bind(source, target);
    const end = kernel.failWhen((call) => {
      if (call.name !== 'unmount') return undefined;
      end();
      kernel.reboot();
      return 'EINVAL';
    });
    expect(await unmountAll(kernel, target)).toBe(0);
  });

  it('gives up with EBUSY where mounts come faster than they go', async () => {
    const { kernel } = simulatedKernel();
    const { target, source } = directories();
    await kernel.bind(source, target);
    kernel.failWhen((call) => {
      if (call.name === 'unmount') void kernel.bind(source, target);
      return undefined;
    });
    await expect(unmountAll(kernel, target)).rejects.toMatchObject({ code: 'EBUSY' });
  });

  it('needs no mount table for a mount over an empty directory', async () => {
    const { kernel } = simulatedKernel();
    const root = temporaryDirectory('unmount');
    for (const name of ['target', 'source']) mkdirSync(join(root, name));
    await kernel.bind(join(root, 'source'), join(root, 'target'));
    await unmountAll(kernel, join(root, 'target'));
    expect(kernel.calls.map(({ name }) => name)).not.toContain('mountTable');
  });
});

/** `source` has a directory `inside` and a file `content`; `target` a directory `hidden` and a file. */
function directories(): { root: string; target: string; source: string } {
  const root = temporaryDirectory('unmount');
  const [target, source] = [join(root, 'target'), join(root, 'source')];
  for (const path of [join(target, 'hidden'), join(source, 'inside')]) mkdirSync(path, { recursive: true });
  writeFileSync(join(source, 'content'), 'content');
  writeFileSync(join(target, 'file'), '');
  return { root, target, source };
}
