import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assessBackends, type BackendAssessment } from '../../src/backends/assess-backends.ts';
import { chooseBackend } from '../../src/backends/choose-backend.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { systemError } from '../../src/linux/system-error.ts';
import { inFrontOf } from '../conformance/backend-stage.ts';
import { describeRoot, describeWith } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { loopFilesystem } from './loop-filesystem.ts';

/** A provisioner's directory and a store's; `inspect` says what is left in both. */
function places(
  provisionerDir = temporaryDirectory(),
  store = temporaryDirectory(),
): { provisionerDir: string; storeDirs: string[]; left: () => string[] } {
  return { provisionerDir, storeDirs: [store], left: () => [provisionerDir, store].flatMap((directory) => readdirSync(directory)) };
}

const failing = (rows: readonly BackendAssessment[]): string[] =>
  rows.filter(({ ok }) => !ok).map(({ backend, requirement }) => `${backend} ${requirement}`);

describe('assessBackends', () => {
  it('finds everything for overlay, bind and copy on a kernel with overlay, and leaves nothing behind', async () => {
    const kernel = new SimulatedKernel();
    const { left, ...where } = places();
    const rows = await assessBackends({ kernel, ...where });
    expect(failing(rows)).toEqual(['aufs kernel']);
    expect(rows.map(({ backend, requirement }) => `${backend} ${requirement}`)).toEqual(
      expect.arrayContaining([
        'overlay root',
        'overlay kernel',
        'overlay filesystem',
        'overlay d_type',
        'overlay xattr',
        'bind root',
        'copy nothing',
      ]),
    );
    expect(left()).toEqual([]);
    expect(kernel.table().mounts).toHaveLength(1);
    expect(chooseBackend(rows)).toBe('overlay');
  });

  it('prefers aufs where overlay is missing, and copy where both are; bind only where it is asked for', async () => {
    const rows = await assessBackends({ kernel: new SimulatedKernel({ filesystems: ['aufs'] }), ...places() });
    expect(failing(rows)).toEqual(['overlay kernel']);
    expect(chooseBackend(rows)).toBe('aufs');
    const none = await assessBackends({ kernel: new SimulatedKernel({ filesystems: [] }), ...places() });
    expect(chooseBackend(none)).toBe('copy');
    expect(chooseBackend(none, 'bind')).toBe('bind');
  });

  it('refuses a forced backend with every reason, and a name that is no backend', async () => {
    const rows = await assessBackends({ kernel: new SimulatedKernel({ filesystems: [] }), ...places() });
    expect(() => chooseBackend(rows, 'overlay')).toThrow(
      expect.objectContaining({ code: 'BACKEND_UNAVAILABLE', message: expect.stringMatching(/no overlay.*modprobe/) as unknown }),
    );
    expect(() => chooseBackend(rows, 'bnid' as 'bind')).toThrow(expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' }));
  });

  it('without the right to mount, only copy is left, and the table of file systems answers', async () => {
    const kernel = inFrontOf(new SimulatedKernel(), { bind: (_source, target) => Promise.reject(systemError('EPERM', 'open_tree', target)) });
    const { left, ...where } = places();
    const rows = await assessBackends({ kernel, ...where });
    expect(failing(rows)).toEqual(['overlay root', 'aufs root', 'aufs kernel', 'bind root']);
    expect(rows.find(({ backend, requirement }) => backend === 'overlay' && requirement === 'filesystem')?.why).toMatch(/not tried/);
    expect(chooseBackend(rows)).toBe('copy');
    expect(left()).toEqual([]);
  });

  it('says which directory can not be used, and why', async () => {
    const kernel = new SimulatedKernel();
    kernel.failWhen((call) => (call.name === 'mount' && call.detail === 'overlay' ? 'EINVAL' : undefined));
    const { left, ...where } = places();
    const rows = await assessBackends({ kernel, ...where });
    expect(rows.find(({ backend, ok }) => backend === 'overlay' && !ok)).toMatchObject({
      requirement: 'filesystem',
      path: where.provisionerDir,
      why: expect.stringContaining('EINVAL') as unknown,
    });
    expect(left()).toEqual([]);
  });

  it('judges a directory that is not there yet by the one that will hold it, and makes nothing', async () => {
    const directory = temporaryDirectory();
    const rows = await assessBackends({
      kernel: new SimulatedKernel(),
      provisionerDir: join(directory, 'a/b/provisioner'),
      storeDirs: [join(directory, 'a/store')],
    });
    expect(new Set(rows.map(({ path }) => path))).toEqual(new Set([directory, undefined]));
    expect(readdirSync(directory)).toEqual([]);
  });

  it('sweeps what a killed process left of its probe, and not what a living one has', async () => {
    const { left, ...where } = places();
    mkdirSync(join(where.provisionerDir, '.probe-4194305-x/upper'), { recursive: true });
    writeFileSync(join(where.provisionerDir, '.probe-4194305-x/upper/file'), '');
    mkdirSync(join(where.provisionerDir, `.probe-${process.pid}-x`));
    await assessBackends({ kernel: new SimulatedKernel(), ...where });
    expect(left()).toEqual([`.probe-${process.pid}-x`]);
  });
});

describeRoot('assessBackends on the real kernel', () => {
  it.each(['koffi', 'util-linux'] as const)('finds overlay usable on this machine, by %s, and leaves nothing behind', async (adapter) => {
    const kernel = await openKernel({ adapter });
    const { left, ...where } = places();
    const mountsBefore = (await kernel.mountTable()).mounts.length;
    expect(failing(await assessBackends({ kernel, ...where })).filter((row) => row.startsWith('overlay'))).toEqual([]);
    expect(left()).toEqual([]);
    expect((await kernel.mountTable()).mounts).toHaveLength(mountsBefore);
  });

  it('refuses a provisioner directory on overlay, and takes a store there', async () => {
    const kernel = await openKernel();
    const overlay = await mountOverlay(kernel);
    expect(failing(await assessBackends({ kernel, ...places(overlay) }))).toContain('overlay filesystem');
    const rows = await assessBackends({ kernel, ...places(temporaryDirectory(), overlay) });
    expect(rows.find(({ backend, requirement, path }) => backend === 'overlay' && requirement === 'filesystem' && path === overlay)?.ok).toBe(true);
  });
});

describeWith(['mkfs.ext4', 'losetup'], 'assessBackends without d_type', () => {
  it('refuses overlay, for the provisioner and for a store: deleted files would show', async () => {
    const noTypes = loopFilesystem(['mkfs.ext4', '-q', '-O', '^filetype']);
    const kernel = await openKernel();
    const upper = await assessBackends({ kernel, ...places(noTypes) });
    expect(failing(upper)).toContain('overlay d_type');
    expect(chooseBackend(upper)).toBe('copy');
    const lower = await assessBackends({ kernel, ...places(temporaryDirectory(), noTypes) });
    expect(lower.filter(({ ok, requirement }) => !ok && requirement === 'd_type')).toEqual([expect.objectContaining({ path: noTypes })]);
  });
});

describeWith(['mkfs.btrfs', 'losetup'], 'assessBackends on btrfs', () => {
  it('finds overlay usable, where the table of Mesos refuses it', async () => {
    const kernel = await openKernel();
    const rows = await assessBackends({ kernel, ...places(loopFilesystem(['mkfs.btrfs', '-q'])) });
    expect(failing(rows).filter((row) => row.startsWith('overlay'))).toEqual([]);
  });
});

async function mountOverlay(kernel: Kernel): Promise<string> {
  const directory = temporaryDirectory();
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(directory, name));
  const options = [
    ['lowerdir', 'lower'],
    ['upperdir', 'upper'],
    ['workdir', 'work'],
  ] as const;
  await kernel.mount({ type: 'overlay', source: 'overlay', target: join(directory, 'merged'), directory, options });
  return join(directory, 'merged');
}
