import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeCheckpoint } from '../../src/actors/checkpoint.ts';
import { readContainers } from '../../src/actors/read-containers.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { backendDir, checkpointPath, containersDir, quarantineDir, readyPath, rootfsPath, temporaryPath } from '../../src/paths/provisioner.ts';
import { Gate, openStage, Stage } from '../support/provisioner-stage.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Everything on disk below the provisioner directory, to see that nothing changes. */
const tree = (stage: Stage): string[] => readdirSync(stage.root, { recursive: true }).map(String).toSorted();

describe('recovery', () => {
  it('[AP4] finds a container again; the same image once more makes two rootfses, and destroy takes both', async () => {
    const stage = await openStage(temporaryDirectory(), { backend: 'copy' });
    await stage.provision('c1', 'oci:app');
    stage.begin();
    expect(await stage.recover(['c1'])).toMatchObject({ kept: ['c1'], destroyed: [], repaired: [], failed: [] });
    await stage.provision('c1', 'oci:app');
    expect(readContainers(stage.root)[0]?.rootfses).toHaveLength(2);
    expect(readdirSync(join(stage.directoryOf('c1'), 'backends/copy/rootfses'))).toHaveLength(2);
    expect(await stage.destroy('c1')).toBe(true);
    expect(stage.exists('c1')).toBe(false);
  });

  it('[AP5] finds a parent and a nested container; the child can be provisioned again, both destroyed', async () => {
    const stage = await openStage(temporaryDirectory(), { backend: 'copy' });
    await stage.provision('p', 'oci:app');
    await stage.provision('p.c', 'oci:app');
    stage.begin();
    await stage.recover(['p', 'p.c']);
    await stage.provision('p.c', 'oci:web');
    expect(await stage.destroy('p.c')).toBe(true);
    expect(stage.idsOnDisk()).toEqual(['p']);
    expect(await stage.destroy('p')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('[AP6] [R11] finds a parent without image, and destroy removes its directory', async () => {
    const stage = await openStage(temporaryDirectory(), { backend: 'copy' });
    await stage.provision('p.c', 'oci:app');
    stage.begin();
    await stage.recover(['p', 'p.c']);
    expect(await stage.destroy('p.c')).toBe(true);
    expect(await stage.destroy('p')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('[PD12] of nothing known removes the whole parent container of a nested one', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('parent.child', 'oci:app');
    stage.begin();
    const report = await stage.recover([]);
    expect(report.destroyed.map(({ container }) => container)).toEqual(['parent', 'parent.child']);
    expect(readdirSync(containersDir(stage.root))).toEqual([]);
    expect(await stage.mounts()).toEqual([]);
  });

  it('keeps an unknown parent for the sake of a known child, without its rootfs being lost', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('p', 'oci:app');
    await stage.provision('p.c', 'oci:web');
    await stage.provision('p.d', 'oci:web');
    stage.begin();
    const report = await stage.recover(['p.c', 'gone']);
    expect(report.kept).toEqual(['p', 'p.c']);
    expect(report.destroyed).toMatchObject([{ container: 'p.d', why: 'it is not known' }]);
    expect(report.reported).toMatchObject([{ container: 'gone', found: 'nothing on disk' }]);
    expect(await stage.mounts()).toHaveLength(2);
  });

  it('without known ids keeps what is whole and takes apart what was interrupted', async () => {
    const stage = await openStage(temporaryDirectory());
    for (const id of ['whole', 'half', 'mixed', 'p.whole', 'p.half']) await stage.provision(id, 'oci:app');
    const interrupted = [];
    for (const id of ['half', 'p.half']) interrupted.push(readContainers(stage.root).find((container) => container.id === id)!);
    for (const { directory, rootfses } of interrupted) unlinkSync(readyPath(directory, rootfses[0]!.id));
    const second = await stage.provision('mixed', 'oci:web');
    unlinkSync(readyPath(stage.directoryOf('mixed'), second.rootfsId));
    stage.begin();
    const report = await stage.recover();
    expect(report.kept.toSorted()).toEqual(['mixed', 'p', 'p.whole', 'whole']);
    expect(report.destroyed.map(({ container }) => String(container)).toSorted()).toEqual(['half', 'p.half']);
    expect(report.repaired).toMatchObject([{ container: 'mixed', rootfs: second.rootfsId, action: 'destroy' }]);
    expect(await stage.mounts()).toHaveLength(3);
    expect(readContainers(stage.root).find(({ id }) => id === 'mixed')?.rootfses).toMatchObject([{ image: 'oci:app:latest', ready: true }]);
  });

  it('run again finds nothing to do, and with plan changes nothing at all', async () => {
    const stage = await openStage(temporaryDirectory());
    for (const id of ['a', 'b.c']) await stage.provision(id, 'oci:app');
    const half = await stage.provision('a', 'oci:web');
    unlinkSync(readyPath(stage.directoryOf('a'), half.rootfsId));
    stage.begin();
    const before = tree(stage);
    const plan = await stage.recover(undefined, true);
    expect(plan).toMatchObject({ plan: true, repaired: [{ container: 'a', action: 'destroy' }], failed: [] });
    expect(tree(stage)).toEqual(before);
    const first = await stage.recover();
    expect({ ...first, plan: true, durationMs: 0 }).toEqual({ ...plan, durationMs: 0 });
    expect(await stage.recover()).toMatchObject({ kept: plan.kept, destroyed: [], repaired: [], quarantined: [], reported: [], failed: [] });
  });

  it('takes an unknown backend apart in a general way, and keeps and reports it in a container that stays', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('stays', 'oci:app');
    for (const id of ['stays', 'goes']) {
      const rootfs = rootfsPath(backendDir(stage.directoryOf(id), 'nydus'), 'r1');
      mkdirSync(join(rootfs, 'inner'), { recursive: true });
      writeFileSync(readyPath(stage.directoryOf(id), 'r1'), '');
      await stage.kernel.bind(temporaryDirectory(), join(rootfs, 'inner'));
      await stage.kernel.bind(temporaryDirectory(), rootfs);
    }
    stage.begin();
    const report = await stage.recover(['stays']);
    expect(report.failed).toEqual([]);
    expect(report.destroyed).toMatchObject([{ container: 'goes' }]);
    expect(report.reported).toEqual(expect.arrayContaining([expect.objectContaining({ container: 'stays', rootfs: 'r1', action: 'keep' })]));
    expect(stage.exists('goes')).toBe(false);
    expect(await stage.destroy('stays')).toBe(true);
    expect(await stage.mounts()).toEqual([]);
  });

  it.each([
    ['empty', (path: string) => truncateSync(path, 0)],
    ['cut off', (path: string) => truncateSync(path, 100)],
    ['of another container', (path: string) => writeFileSync(path, encodeCheckpoint({ container: 'other', rootfses: [] }))],
  ])('sets a checkpoint aside that is %s, and tells the layers from the mount', async (_, damage) => {
    const stage = await openStage(temporaryDirectory());
    const { rootfsId } = await stage.provision('c1', 'oci:app');
    damage(checkpointPath(stage.directoryOf('c1')));
    stage.begin();
    const report = await stage.recover();
    expect(report.kept).toEqual(['c1']);
    expect(report.quarantined).toMatchObject([{ container: 'c1', action: 'quarantine' }]);
    expect(readdirSync(quarantineDir(stage.root))).toHaveLength(2);
    expect(readFileSync(`${report.quarantined[0]?.path}.note`, 'utf8')).toContain(checkpointPath(stage.directoryOf('c1')));
    expect(readContainers(stage.root)).toMatchObject([
      { id: 'c1', rootfses: [{ id: rootfsId, image: '', layers: [{ id: 'sha256:base' }, { id: 'sha256:app' }], ready: true }] },
    ]);
    expect((await stage.prune()).layers).toEqual([]);
    expect(await stage.recover()).toMatchObject({ quarantined: [], repaired: [], reported: [] });
    expect(await stage.destroy('c1')).toBe(true);
    expect((await stage.prune()).layers).toHaveLength(2);
  });

  it('refuses to prune while a damaged checkpoint leaves layers unknown, until that container is destroyed', async () => {
    const stage = await openStage(temporaryDirectory());
    const { rootfs } = await stage.provision('c1', 'oci:app');
    writeFileSync(checkpointPath(stage.directoryOf('c1')), 'nonsense');
    await stage.kernel.unmount(rootfs, { detach: true }); // a reboot on top: the mount can't tell either
    stage.begin();
    const report = await stage.recover();
    expect(report).toMatchObject({ kept: ['c1'], quarantined: [{ container: 'c1' }], unmounted: [{ container: 'c1' }], failed: [] });
    expect(report.reported).toMatchObject([{ container: 'c1', action: 'keep' }]);
    await expect(stage.prune()).rejects.toMatchObject({ code: 'PRUNE_FAILED', details: { containers: ['c1'] } });
    await stage.provision('c1', 'oci:web');
    stage.begin();
    await stage.recover();
    await expect(stage.prune()).rejects.toMatchObject({ code: 'PRUNE_FAILED' });
    expect(await stage.destroy('c1')).toBe(true);
    expect((await stage.prune()).layers).toHaveLength(3);
  });

  it('a damaged checkpoint of a copy needs no layers', async () => {
    const stage = await openStage(temporaryDirectory(), { backend: 'copy' });
    await stage.provision('c1', 'oci:app');
    unlinkSync(checkpointPath(stage.directoryOf('c1')));
    stage.begin();
    await stage.recover();
    expect((await stage.prune()).layers).toHaveLength(2);
    expect(readContainers(stage.root)).toMatchObject([{ rootfses: [{ backend: 'copy', layers: [], ready: true }] }]);
  });

  it('[R11] takes missing rootfs directories, parents without backends and strays in its stride', async () => {
    const stage = await openStage(temporaryDirectory(), { backend: 'copy' });
    const { rootfs } = await stage.provision('c1', 'oci:app');
    const { rootfsId } = await stage.provision('c1', 'oci:web');
    rmSync(rootfs, { recursive: true });
    mkdirSync(stage.directoryOf('empty'));
    writeFileSync(join(containersDir(stage.root), 'stray'), '');
    symlinkSync('/', join(containersDir(stage.root), 'link'));
    writeFileSync(temporaryPath(checkpointPath(stage.directoryOf('c1')), 'x'), '');
    writeFileSync(readyPath(stage.directoryOf('c1'), 'nobody'), '');
    stage.begin();
    const report = await stage.recover(['c1', 'empty']);
    expect(report.failed).toEqual([]);
    expect(report.kept).toEqual(['c1', 'empty']);
    expect(report.reported.map(({ path }) => String(path)).toSorted()).toEqual(
      ['link', 'stray'].map((name) => join(containersDir(stage.root), name)),
    );
    expect(report.repaired).toHaveLength(2);
    expect(readdirSync(stage.directoryOf('c1')).toSorted()).toEqual([`${rootfsId}.ready`, 'backends', 'layers'].toSorted());
    expect(existsSync(join(containersDir(stage.root), 'stray'))).toBe(true);
    expect(await stage.destroy('empty')).toBe(true);
    expect(await stage.destroy('c1')).toBe(true);
  });

  it('after a reboot keeps the containers, says that they are not mounted, and destroys them', async () => {
    const root = temporaryDirectory();
    const before = await openStage(root);
    const { rootfsId } = await before.provision('c1', 'oci:app');
    const after = new Stage(root, { kernel: new SimulatedKernel(), store: before.store });
    const report = await after.recover(['c1']);
    expect(report).toMatchObject({ kept: ['c1'], unmounted: [{ container: 'c1', rootfs: rootfsId }], repaired: [], failed: [] });
    expect((await after.prune()).layers).toEqual([]);
    expect(await after.destroy('c1')).toBe(true);
    expect(after.idsOnDisk()).toEqual([]);
  });

  it('one clean-up that fails is reported, the rest recovers, and the next recovery finishes', async () => {
    const stage = await openStage(temporaryDirectory());
    for (const id of ['a', 'b', 'c']) await stage.provision(id, 'oci:app');
    stage.begin();
    const busy = stage.directoryOf('b');
    stage.backend.beforeDestroy = ({ rootfs }) => {
      if (rootfs.startsWith(busy)) throw new Error('busy');
    };
    const report = await stage.recover([]);
    expect(report.destroyed.map(({ container }) => String(container)).toSorted()).toEqual(['a', 'c']);
    expect(report.failed).toMatchObject([{ container: 'b', action: 'destroy' }]);
    stage.backend.beforeDestroy = () => undefined;
    expect(await stage.recover([])).toMatchObject({ destroyed: [{ container: 'b' }], failed: [] });
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('a store that cannot recover is reported', async () => {
    const stage = await openStage(temporaryDirectory());
    stage.store.recover = () => Promise.reject(new Error('no disk'));
    expect((await stage.recover()).failed).toMatchObject([{ found: 'the docker store' }]);
  });

  it('waits for work under way', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.backend.afterProvision = () => gate.pass();
    const provision = stage.provision('c1', 'oci:app');
    await gate.reached;
    const report = stage.recover(['c1']);
    gate.open();
    await provision;
    expect((await report).kept).toEqual(['c1']);
  });
});
