import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AufsBackend } from '../../src/backends/aufs.ts';
import { BindBackend } from '../../src/backends/bind.ts';
import { CopyBackend } from '../../src/backends/copy.ts';
import { listEphemeralVolumes } from '../../src/backends/ephemeral-volumes.ts';
import { OverlayBackend } from '../../src/backends/overlay.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { parseContainerId } from '../../src/paths/container-id.ts';
import { backendDir, containerDir, containersDir, rootfsPath } from '../../src/paths/provisioner.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { file, makeLayer } from './layers.ts';

describe('listEphemeralVolumes', () => {
  it('is what provision gave, for every rootfs of every container, nested ones too', async () => {
    const root = temporaryDirectory();
    const kernel = new SimulatedKernel({ filesystems: ['overlay', 'aufs'] });
    const backends = [new OverlayBackend({ kernel }), new AufsBackend({ kernel }), new BindBackend({ kernel }), new CopyBackend({ kernel })];
    const expected: string[] = [];
    for (const id of ['parent', 'parent.child', 'only.nested.deep'].map(parseContainerId))
      for (const backend of backends)
        for (const rootfsId of ['r1', 'r2']) {
          const directory = backendDir(containerDir(root, id), backend.name);
          const layers = [makeLayer(kernel.files, join(root, 'layers', `${id}-${backend.name}-${rootfsId}`), backend.form, { a: file('') })];
          const { ephemeralVolumes } = await backend.provision({ layers, rootfs: rootfsPath(directory, rootfsId), backendDir: directory });
          expected.push(...ephemeralVolumes);
        }
    expect(expected).toHaveLength(3 * 2 * (2 + 1));
    expect(await listEphemeralVolumes(root)).toEqual(expected.toSorted());
  });

  it('gives upperdir and workdir, where the missing comma of Mesos gives the scratch directories', async () => {
    const root = temporaryDirectory();
    const scratch = join(containersDir(root), 'c1/backends/overlay/scratch/r1');
    for (const name of ['upperdir', 'workdir', 'links']) mkdirSync(join(scratch, name), { recursive: true });
    expect(await listEphemeralVolumes(root)).toEqual([join(scratch, 'upperdir'), join(scratch, 'workdir')]);
  });

  it('is empty without a provisioner, and passes over what is no directory', async () => {
    const root = temporaryDirectory();
    expect(await listEphemeralVolumes(root)).toEqual([]);
    mkdirSync(join(containersDir(root), 'c1/backends/overlay/scratch/r1'), { recursive: true });
    writeFileSync(join(containersDir(root), 'stray'), '');
    writeFileSync(join(containersDir(root), 'c1/backends/overlay/scratch/r1/upperdir'), '');
    symlinkSync('/', join(containersDir(root), 'link'));
    symlinkSync('/', join(containersDir(root), 'c1/backends/overlay/scratch/r1/workdir'));
    expect(await listEphemeralVolumes(root)).toEqual([]);
  });
});
