import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readContainer, readContainers } from '../../src/actors/read-containers.ts';
import { checkpointPath, containersDir } from '../../src/paths/provisioner.ts';
import { openStage } from '../support/provisioner-stage.ts';
import { repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('readContainers', () => {
  it('reads what an engine that is at work has written, parents before children', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('b', 'oci:app');
    const { rootfsId, rootfs } = await stage.provision('a.x', 'oci:web');
    const containers = readContainers(stage.root);
    expect(containers.map(({ id }) => id).toSorted()).toEqual(['a', 'a.x', 'b']);
    expect(containers.findIndex(({ id }) => id === 'a')).toBeLessThan(containers.findIndex(({ id }) => id === 'a.x'));
    expect(readContainer(stage.root, 'a.x')).toMatchObject({ id: 'a.x', rootfses: [{ id: rootfsId, rootfs, ready: true, image: 'oci:web:latest' }] });
    expect(readContainer(stage.root, 'a')).toMatchObject({ id: 'a', rootfses: [] });
    expect(readContainer(stage.root, 'nobody')).toBeUndefined();
    expect(() => readContainer(stage.root, '../x')).toThrow(/container id/);
  });

  it('shows a rootfs under way as not ready', async () => {
    const stage = await openStage(temporaryDirectory());
    let seen;
    stage.backend.afterProvision = () => void (seen = readContainer(stage.root, 'c1'));
    await stage.provision('c1', 'oci:app');
    expect(seen).toMatchObject({ rootfses: [{ ready: false }] });
  });

  it('tells of a damaged checkpoint and passes over strays, symlinks among them', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    writeFileSync(checkpointPath(stage.directoryOf('c1')), '{}');
    writeFileSync(join(containersDir(stage.root), 'file'), '');
    symlinkSync(stage.directoryOf('c1'), join(containersDir(stage.root), 'link'));
    mkdirSync(join(containersDir(stage.root), 'not an id'));
    expect(readContainers(stage.root)).toMatchObject([{ id: 'c1', rootfses: [], damage: expect.stringContaining('layers') as string }]);
  });

  it('is empty where there is no such directory', () => {
    expect(readContainers(join(temporaryDirectory(), 'nothing'))).toEqual([]);
  });

  it('loads nothing but small files of our own', () => {
    const module = new URL('../../src/actors/read-containers.js', import.meta.url);
    const trace = spawnSync(process.execPath, ['--input-type=module', '--eval', `await import(${JSON.stringify(module.href)})`], {
      env: { ...process.env, NODE_DEBUG: 'esm' },
      encoding: 'utf8',
      cwd: repository,
    });
    expect(trace.status, trace.stderr).toBe(0);
    const loaded = [...trace.stderr.matchAll(/file:\/\/[^\s'",)]+\.js/g)].map(([url]) => url);
    expect(loaded.some((url) => url.endsWith('/read-containers.js'))).toBe(true);
    expect(loaded.filter((url) => url.includes('/node_modules/'))).toEqual([]);
  });
});
