import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layersOfMount } from '../../src/actors/layers-of-mount.ts';
import { createBackends } from '../../src/backends/create-backends.ts';
import { parseMountinfo, type MountTable } from '../../src/linux/mountinfo.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { dockerStoreDir, layerFormDir, type LayerForm } from '../../src/paths/docker-store.ts';
import { rootfsPath, scratchDir } from '../../src/paths/provisioner.ts';
import { itRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const line = (type: string, root: string, options: string): MountTable =>
  parseMountinfo(`1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:40 ${root} /rootfs rw - ${type} ${type} ${options}\n`);
const layer = (id: string, form: LayerForm): string => layerFormDir(dockerStoreDir('/root'), id, form);
const told = (backend: string, table: MountTable, scratch = '/scratch'): unknown =>
  layersOfMount('/root', backend, '/rootfs', scratch, table)?.map(({ id }) => id);

describe('layersOfMount', () => {
  it('reads lower directories given one by one and in one list', () => {
    const [top, base] = [layer('sha256:top', 'overlay'), layer('sha256:base', 'overlay')];
    expect(told('overlay', line('overlay', '/', `rw,lowerdir+=${top},lowerdir+=${base},upperdir=/u`))).toEqual(['sha256:base', 'sha256:top']);
    // a ':' within a directory's name is escaped
    const escaped = [top, base].map((path) => path.replaceAll(':', '\\134:')).join(':');
    expect(told('overlay', line('overlay', '/', `rw,lowerdir=${escaped},upperdir=/u`))).toEqual(['sha256:base', 'sha256:top']);
  });

  it('follows the short names that stand for layers in long mount data', () => {
    const scratch = temporaryDirectory();
    mkdirSync(join(scratch, 'links'));
    symlinkSync(layer('sha256:base', 'overlay'), join(scratch, 'links', '0'));
    symlinkSync(layer('sha256:top', 'overlay'), join(scratch, 'links', '1'));
    expect(told('overlay', line('overlay', '/', 'rw,lowerdir=1:0,upperdir=upper'), scratch)).toEqual(['sha256:base', 'sha256:top']);
    expect(told('overlay', line('overlay', '/', 'rw,lowerdir=1:2'), scratch)).toBeUndefined();
  });

  it('reads the source of a bind mount, and needs nothing for a copy', () => {
    expect(told('bind', line('ext4', `/somewhere/else${layer('sha256:one', 'plain')}`, 'rw'))).toEqual(['sha256:one']);
    expect(told('copy', line('ext4', '/', 'rw'))).toEqual([]);
  });

  it('tells nothing of what is not certain', () => {
    expect(told('overlay', line('overlay', '/', 'rw,lowerdir=/elsewhere/layers/x/rootfs.overlay'))).toBeUndefined();
    expect(told('overlay', line('ext4', '/', 'rw'))).toBeUndefined();
    expect(told('overlay', parseMountinfo('1 0 8:1 / / rw - ext4 /dev/sda rw\n'))).toBeUndefined();
    expect(told('aufs', line('aufs', '/', 'rw,si=1'))).toBeUndefined();
    expect(told('bind', line('ext4', '/home/someone', 'rw'))).toBeUndefined();
  });

  for (const [backend, form, ids] of [
    ['overlay', 'overlay', ['sha256:base', 'sha256:top']],
    ['bind', 'plain', ['sha256:only']],
  ] as const)
    itRoot(`reads what the ${backend} backend has really mounted`, async () => {
      const root = temporaryDirectory();
      const kernel = await openKernel();
      const layers = ids.map((id) => layerFormDir(dockerStoreDir(root), id, form));
      for (const path of layers) mkdirSync(path, { recursive: true });
      const backendDir = join(root, 'backend');
      const rootfs = rootfsPath(backendDir, 'r');
      await createBackends({ kernel }).get(backend)?.provision({ layers, rootfs, backendDir });
      expect(layersOfMount(root, backend, rootfs, scratchDir(backendDir, 'r'), await kernel.mountTable())).toEqual(
        ids.map((id, index) => ({ id, path: layers[index] })),
      );
    });
});
