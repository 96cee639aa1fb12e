import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unmountAll } from '../../src/linux/unmount-all.ts';
import { LIMITS } from '../../src/limits.ts';
import { directory, file } from '../backends/layers.ts';
import { inFrontOf, Stage, type BackendSubject } from './backend-stage.ts';

/** What provision makes, and what it refuses. */
export function provisionTests(subject: BackendSubject): void {
  describe('provision', () => {
    if (subject.layers === 'many') manyLayers(subject);
    else oneLayer(subject);
    refusals(subject);
    paths(subject);
    if (subject.mounts) propagation(subject);
    aborts(subject);
  });
}

function manyLayers(subject: BackendSubject): void {
  it('[BK1] [BK4] [BK6] merges two layers, the later on top; the rootfs is writable and the layers stay as they are; destroy removes it', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ 'etc/base': file('base'), 'etc/both': file('from base') });
    const top = stage.layer({ 'etc/top': file('top'), 'etc/both': file('from top') });
    await stage.provision([base, top]);
    expect(stage.list('etc')).toEqual(['base', 'both', 'top']);
    expect(stage.read('etc/both')).toBe('from top');
    stage.write('etc/base', 'changed');
    stage.write('etc/new', 'new');
    expect(stage.read('etc/base')).toBe('changed');
    expect(stage.list('etc')).toEqual(['base', 'both', 'new', 'top']);
    expect(readFileSync(join(base, 'etc/base'), 'utf8')).toBe('base');
    expect(existsSync(join(top, 'etc/new'))).toBe(false);
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it.each([64, 250])('[BK2] [BK5] stacks %i layers with paths of more than 64 characters', async (count) => {
    const stage = await Stage.open(subject);
    const layers = Array.from({ length: count }, (_, index) =>
      stage.layer({ [`file-${index}`]: file(String(index)), last: file(String(index)) }, `sha256:${String(index).padStart(64, '0')}`),
    );
    try {
      await stage.provision(layers);
    } catch (error) {
      // mount(2) takes one page; where that is all there is, a clear refusal is the promise
      expect(count).toBe(250);
      expect([stage.backend.name, stage.kernel.name]).not.toEqual(['overlay', 'koffi']);
      expect(stage.backend.name).not.toBe('copy');
      expect(error).toMatchObject({ code: 'LAYERS_UNSUPPORTED' });
      await stage.destroy();
      await stage.expectNothingLeft();
      return;
    }
    expect(stage.list()).toHaveLength(count + 1);
    expect(stage.read('last')).toBe(String(count - 1));
    expect(stage.read('file-0')).toBe('0');
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it('gives the root directory the attributes that the image gives it, under layers that say nothing of theirs', async () => {
    const stage = await Stage.open(subject);
    const base = stage.layer({ '': directory({ mode: 0o555, uid: ownUid(1234), gid: ownGid(1234), modifiedNs: 1_000_000_000n }), a: file('') });
    const top = stage.layer({ b: file('') });
    const { ephemeralVolumes } = await stage.provision([base, top]);
    const shown = lstatSync(stage.kernel.name === 'simulated' && subject.mounts ? (ephemeralVolumes[0] as string) : stage.rootfs, { bigint: true });
    expect(shown).toMatchObject({ uid: BigInt(ownUid(1234)), gid: BigInt(ownGid(1234)), mtimeNs: 1_000_000_000n });
    expect(Number(shown.mode & 0o7777n).toString(8)).toBe('555');
  });

  it('names the directories that a disk quota must count, and they are there', async () => {
    const stage = await Stage.open(subject);
    const { ephemeralVolumes } = await stage.provision([stage.layer({ a: file('') })]);
    const names = { overlay: ['upperdir', 'workdir'], aufs: ['workdir'], bind: [], copy: [] }[stage.backend.name];
    expect(ephemeralVolumes).toEqual(names.map((name) => join(stage.scratch, name)));
    for (const volume of ephemeralVolumes) expect(lstatSync(volume).isDirectory()).toBe(true);
  });
}

function oneLayer(subject: BackendSubject): void {
  it('[BK3] shows the one layer, read-only for all that its modes say; destroy removes the mount point and no more', async () => {
    const stage = await Stage.open(subject);
    const layer = stage.layer({ 'dir/file': file('content', { mode: 0o666 }), dir: directory({ mode: 0o777 }) });
    expect(await stage.provision([layer])).toEqual({ ephemeralVolumes: [] });
    expect(stage.read('dir/file')).toBe('content');
    expect(() => stage.write('dir/file', 'other')).toThrow(/EROFS/);
    expect(() => stage.write('dir/new', 'other')).toThrow(/EROFS/);
    writeFileSync(join(layer, 'dir/file'), 'the layer itself stays writable');
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
    expect(readFileSync(join(layer, 'dir/file'), 'utf8')).toBe('the layer itself stays writable');
  });

  it('refuses two layers and makes nothing', async () => {
    const stage = await Stage.open(subject);
    await expect(stage.provision([stage.layer({}), stage.layer({})])).rejects.toMatchObject({ code: 'LAYERS_UNSUPPORTED' });
    expect(await stage.destroy()).toBe(false);
  });
}

function refusals(subject: BackendSubject): void {
  it('refuses no layers, and more than LIMITS.layersPerRootfs, and makes nothing', async () => {
    const stage = await Stage.open(subject);
    await expect(stage.provision([])).rejects.toMatchObject({ code: 'LAYERS_UNSUPPORTED' });
    const many = Array.from({ length: LIMITS.layersPerRootfs + 1 }, (_, index) => `/layer/${index}`);
    await expect(stage.provision(many)).rejects.toMatchObject({ code: 'LAYERS_UNSUPPORTED' });
    expect(await stage.destroy()).toBe(false);
  });

  it('refuses a rootfs path that is taken, and leaves what is there', async () => {
    const stage = await Stage.open(subject);
    mkdirSync(stage.rootfs, { recursive: true });
    writeFileSync(join(stage.rootfs, 'mine'), 'mine');
    await expect(stage.provision([stage.layer({ a: file('') })])).rejects.toMatchObject({ code: 'ROOTFS_EXISTS' });
    expect(readFileSync(join(stage.rootfs, 'mine'), 'utf8')).toBe('mine');
  });

  it('names the layer that is missing, and what was made goes with destroy', async () => {
    const stage = await Stage.open(subject);
    const missing = join(stage.root, 'no-such-layer');
    await expect(stage.provision([missing])).rejects.toThrow(/no-such-layer/);
    await stage.destroy();
    await stage.expectNothingLeft();
  });

  it('refuses a layer that is a file', async () => {
    const stage = await Stage.open(subject);
    const layer = join(stage.root, 'a-file');
    writeFileSync(layer, '');
    await expect(stage.provision([layer])).rejects.toMatchObject({ code: expect.stringMatching(/IO_ERROR|MOUNT_FAILED/) as unknown });
    await stage.destroy();
    await stage.expectNothingLeft();
  });
}

function paths(subject: BackendSubject): void {
  it.each(['a:b', 'a,b', 'a\\b', 'a b', 'a=b', 'a\nb', 'ünïcödé', '\\054 \\:,=:', '%s$HOME`id`', '-o ro'])(
    'takes %j in the root directory and in layers',
    async (odd) => {
      const stage = await Stage.open(subject, { directoryName: odd });
      const layers = [stage.layer({ a: file('1') }, `${odd}1`), stage.layer({ a: file('2'), b: file('2') }, `${odd}2`)];
      await stage.provision(subject.layers === 'one' ? layers.slice(1) : layers);
      expect(stage.list()).toEqual(['a', 'b']);
      expect(stage.read('a')).toBe('2');
      expect(await stage.destroy()).toBe(true);
      await stage.expectNothingLeft();
    },
  );

  it('takes layers and a root directory with paths of more than 255 bytes', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(120)}`;
    const stage = await Stage.open(subject);
    const layers = [stage.layer({ a: file('1') }, `${long}/1`), stage.layer({ a: file('2') }, `${long}/2`)];
    await stage.provision(subject.layers === 'one' ? layers.slice(1) : layers);
    expect(stage.read('a')).toBe('2');
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });
}

function propagation(subject: BackendSubject): void {
  it('the mount is a peer group of its own, and slave to that of the host: what a container mounts does not come out', async () => {
    const stage = await Stage.open(subject);
    const layer = stage.layer({ 'inside/x': file('') });
    await stage.kernel.bind(stage.root, stage.root);
    await stage.kernel.setPropagation(stage.root, 'shared');
    await stage.provision([layer]);
    const mount = (await stage.kernel.mountTable()).at(stage.rootfs).at(-1);
    expect(mount?.shared).toBeDefined();
    if (stage.backend.name === 'bind') expect(mount?.master).toBeDefined();
    await stage.kernel.bind(stage.precious(), join(stage.rootfs, 'inside'));
    expect((await stage.kernel.mountTable()).atOrBelow(layer)).toEqual([]);
    expect(await stage.destroy()).toBe(true);
    await unmountAll(stage.kernel, stage.root);
    await stage.expectNothingLeft();
  });

  it.each(['slave', 'shared'])('a propagation that can not be made %s undoes the mount', async (failing) => {
    const stage = await Stage.open(subject);
    const kernel = inFrontOf(stage.kernel, {
      setPropagation: (target, wanted) => (wanted === failing ? Promise.reject(new Error('refused')) : stage.kernel.setPropagation(target, wanted)),
    });
    await expect(stage.provision([stage.layer({})], undefined, stage.backendOn(kernel))).rejects.toMatchObject({ code: 'MOUNT_FAILED' });
    expect((await stage.kernel.mountTable()).atOrBelow(stage.root)).toEqual([]);
    await stage.destroy();
    await stage.expectNothingLeft();
  });
}

function aborts(subject: BackendSubject): void {
  it('aborted before it begins, makes nothing', async () => {
    const stage = await Stage.open(subject);
    const reason = new Error('enough');
    await expect(stage.provision([stage.layer({})], AbortSignal.abort(reason))).rejects.toMatchObject({ code: 'ABORTED', cause: reason });
    expect(await stage.destroy()).toBe(false);
  });

  if (!subject.mounts) return;
  it('aborted while it mounts, ends as ABORTED, and destroy takes what it made', async () => {
    const stage = await Stage.open(subject);
    const controller = new AbortController();
    const kernel = inFrontOf(stage.kernel, {
      setPropagation: async (target, wanted) => {
        controller.abort();
        await stage.kernel.setPropagation(target, wanted);
      },
    });
    await expect(stage.provision([stage.layer({})], controller.signal, stage.backendOn(kernel))).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });
}

/** Tests of ordinary users keep their own ids. */
function ownUid(wanted: number): number {
  return process.geteuid?.() === 0 ? wanted : (process.geteuid?.() ?? wanted);
}

function ownGid(wanted: number): number {
  return process.geteuid?.() === 0 ? wanted : (process.getegid?.() ?? wanted);
}
