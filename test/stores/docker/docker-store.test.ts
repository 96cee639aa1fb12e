import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RootwrightError } from '../../../src/errors.ts';
import type { Kernel } from '../../../src/linux/kernel.ts';
import { openKernel } from '../../../src/linux/open-kernel.ts';
import { configsDir, gcDir, imagesDir, layerDir, layerFactsPath, layerFormDir, layersDir, stagingDir } from '../../../src/paths/docker-store.ts';
import type { DockerStoreOptions } from '../../../src/stores/docker/docker-store.ts';
import type { StoreLogger } from '../../../src/stores/logger.ts';
import type { ImageInfo } from '../../../src/stores/store.ts';
import { writeDockerArchive, writeOciLayout, type BuiltImage, type LayerSpec } from '../../support/image-builder.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openStore } from './open-store.ts';
import { StandInUnpacker } from './stand-in-unpacker.ts';

const ALL = { keepImages: [], keepIds: new Set<string>() };
const layer = (name: string): LayerSpec => ({ entries: [{ path: name, content: name }] });

function image(...names: string[]): { name: string; built: BuiltImage } {
  const directory = temporaryDirectory('images');
  const [built] = writeOciLayout(directory, [{ layers: names.map(layer) }]);
  if (built === undefined) throw new Error('one image was written');
  return { name: `oci:${directory}`, built };
}

async function open(options: Partial<DockerStoreOptions> = {}, root = temporaryDirectory('store')): ReturnType<typeof openStore> {
  const opened = await openStore(root, options);
  let closed = false;
  const close = async (): Promise<void> => {
    if (!closed) await opened.close();
    closed = true;
  };
  onTestFinished(close);
  return { ...opened, close };
}

/** A kernel with these calls replaced. */
async function kernelWith(calls: Partial<Kernel>): Promise<Kernel> {
  const kernel = await openKernel();
  return new Proxy(kernel, { get: (target, key) => calls[key as keyof Kernel] ?? bound(target, key as keyof Kernel) });
}

function bound(kernel: Kernel, key: keyof Kernel): unknown {
  const value: unknown = kernel[key];
  return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(kernel) : value;
}

function listeningLogger(): { logger: StoreLogger; messages: string[] } {
  const messages: string[] = [];
  const note = (_facts: unknown, message?: string): void => void messages.push(message ?? '');
  return { logger: { debug: note, info: note, warn: note, error: note }, messages };
}

describe('layers of one image', () => {
  it('are unpacked several at once, but no more than allowed over all images', async () => {
    let [now, most] = [0, 0];
    const unpacker = new StandInUnpacker(async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 20));
      now -= 1;
    });
    const { store } = await open({ unpacker, concurrency: 3 });
    await Promise.all([image('a', 'b', 'c', 'd'), image('e', 'f', 'g')].map(({ name }) => store.get(name, { form: 'plain' })));
    expect(unpacker.requests).toHaveLength(7);
    expect(most).toBe(3);
  });

  it('that were finished stay when another fails; the rest is given up', async () => {
    const { name, built } = image('a', 'bad', 'c');
    const bad = built.layers[1]?.diffId;
    const finished: string[] = [];
    const unpacker = new StandInUnpacker(async ({ diffId }) => {
      if (diffId !== bad) return void finished.push(diffId);
      while (finished.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      throw new RootwrightError('LAYER_INVALID', 'bad');
    });
    const { store, directory } = await open({ unpacker });
    await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ code: 'LAYER_INVALID', message: 'bad' });
    const whole = readdirSync(layersDir(directory));
    expect(whole.toSorted()).toEqual(finished.toSorted());
    expect(readdirSync(stagingDir(directory))).toEqual([]);
    expect(await store.list()).toEqual([]);
  });

  it('waits in line no longer than its image is wanted', async () => {
    const [slow, queued] = [image('slow'), image('queued')];
    // While the only place is taken.
    const unpacker = new StandInUnpacker(async () => {
      const controller = new AbortController();
      const onProgress = (): unknown => setImmediate(() => controller.abort());
      await expect(store.get(queued.name, { form: 'plain', onProgress }, controller.signal)).rejects.toMatchObject({ code: 'ABORTED' });
    });
    const { store } = await open({ unpacker, concurrency: 1 });
    await store.get(slow.name, { form: 'plain' });
    expect(unpacker.requests).toHaveLength(1);
  });
});

describe('a layer that two images share', () => {
  it('is unpacked once', async () => {
    const unpacker = new StandInUnpacker(() => new Promise((resolve) => setTimeout(resolve, 20)));
    const { store } = await open({ unpacker });
    await Promise.all([image('base', 'a'), image('base', 'b'), image('base')].map(({ name }) => store.get(name, { form: 'plain' })));
    expect(unpacker.requests).toHaveLength(3);
  });

  it('comes from the second source where the first one fails', async () => {
    const [bad, good] = [image('base'), image('base')];
    let second: Promise<unknown> = Promise.resolve();
    const unpacker = new StandInUnpacker(async ({ source }) => {
      // The second image joins while the first one is at it.
      if (unpacker.requests.length === 1)
        await new Promise<void>((joined) => {
          second = store.get(good.name, { form: 'plain', onProgress: () => joined() });
        });
      if (source.path.startsWith(bad.name.slice('oci:'.length))) throw new RootwrightError('DIGEST_MISMATCH', 'bad source');
    });
    const { store } = await open({ unpacker });
    await expect(store.get(bad.name, { form: 'plain' })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    await second;
    expect(unpacker.requests.map((request) => request.source.path.startsWith(bad.name.slice(4)))).toEqual([true, false]);
  });

  it('is finished for the second image when the first one is aborted', async () => {
    const [first, second] = [image('base'), image('base')];
    const controller = new AbortController();
    let stays: Promise<ImageInfo> | undefined;
    let unpackSignal: AbortSignal | undefined;
    const unpacker = new StandInUnpacker(async (_request, signal) => {
      unpackSignal = signal;
      await new Promise<void>((joined) => {
        stays = store.get(second.name, { form: 'plain', onProgress: () => joined() });
      });
      controller.abort();
      await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    });
    const { store } = await open({ unpacker });
    const aborted = store.get(first.name, { form: 'plain' }, controller.signal);
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await stays)?.layers).toHaveLength(1);
    expect([unpackSignal?.aborted, unpacker.requests.length]).toEqual([false, 1]);
  });
});

describe('an archive that is compressed as a whole', () => {
  it('stays decompressed for as long as another image waits for a layer from it', async () => {
    const file = join(temporaryDirectory('images'), 'a.tar.gz');
    writeDockerArchive(file, [{ layers: [layer('base')], tag: 'x:v1' }], 'current', 'gzip');
    const controller = new AbortController();
    let stays: Promise<ImageInfo> | undefined;
    const unpacker = new StandInUnpacker(async () => {
      await new Promise<void>((joined) => {
        stays = store.get(`docker-archive:${file}:x:v1`, { form: 'plain', onProgress: () => joined() });
      });
      controller.abort();
      await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    });
    const { store, directory, close } = await open({ unpacker });
    const aborted = store.get(`docker-archive:${file}`, { form: 'plain' }, controller.signal);
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(readdirSync((await stays)?.layers[0]?.path ?? '')).toEqual(['base']);
    expect(unpacker.requests).toHaveLength(1);
    await close();
    expect(readdirSync(stagingDir(directory))).toEqual([]);
  });
});

describe('durability', () => {
  it('every layer is flushed before it can be seen, and a failed flush makes none visible', async () => {
    const seen: string[][] = [];
    let fail = false;
    const real = await openKernel();
    const kernel = await kernelWith({
      syncFilesystem: async (path) => {
        seen.push(readdirSync(layersDir(join(path, '..'))).flatMap((id) => (existsSync(layerFormDir(join(path, '..'), id, 'plain')) ? [id] : [])));
        if (fail) throw Object.assign(new Error('EIO: i/o error, syncfs'), { code: 'EIO', syscall: 'syncfs' });
        await real.syncFilesystem(path);
      },
    });
    const { store, directory } = await open({ kernel });
    const { built, name } = image('a');
    fail = true;
    await expect(store.get(name, { form: 'plain' })).rejects.toMatchObject({ code: 'IO_ERROR', details: { errno: 'EIO' } });
    expect(existsSync(layerFormDir(directory, built.layers[0]?.diffId ?? '', 'plain'))).toBe(false);
    expect(readdirSync(stagingDir(directory))).toEqual([]);
    fail = false;
    await store.get(name, { form: 'plain' });
    expect(seen).toEqual([[], []]);
  });

  it('a layer that is there already is kept', async () => {
    const { built, name } = image('a');
    const diffId = built.layers[0]?.diffId ?? '';
    const root = temporaryDirectory('store');
    const unpacker = new StandInUnpacker(() => {
      mkdirSync(layerFormDir(opened.directory, diffId, 'plain'), { recursive: true });
      writeFileSync(join(layerFormDir(opened.directory, diffId, 'plain'), 'first'), '');
      return Promise.resolve();
    });
    const opened = await open({ unpacker }, root);
    const { layers } = await opened.store.get(name, { form: 'plain' });
    expect(readdirSync(layers[0]?.path ?? '')).toEqual(['first']);
    expect(readdirSync(stagingDir(opened.directory))).toEqual([]);
  });

  it('a layer whose root its owner may not write is moved to its place all the same, and keeps its mode', async () => {
    const directory = temporaryDirectory('images');
    writeOciLayout(directory, [{ layers: [{ entries: [{ path: './', type: 'directory', mode: 0o555 }, { path: 'a' }] }] }]);
    const { store } = await open();
    const { layers } = await store.get(`oci:${directory}`, { form: 'plain' });
    const path = layers[0]?.path ?? '';
    expect([readdirSync(path), statSync(path).mode & 0o7777]).toEqual([['a'], 0o555]);
    chmodSync(path, 0o755);
  });

  it('a layer directory that a crash left empty is no hindrance (R10)', async () => {
    const { built, name } = image('a');
    const { store, directory } = await open();
    mkdirSync(layerDir(directory, built.layers[0]?.diffId ?? ''));
    const { layers } = await store.get(name, { form: 'plain' });
    expect(readdirSync(layers[0]?.path ?? '')).toEqual(['a']);
  });
});

describe('recover', () => {
  async function withImages(): Promise<{ root: string; directory: string; names: string[]; builts: BuiltImage[] }> {
    const root = temporaryDirectory('store');
    const { store, directory, close } = await open({}, root);
    const images = [image('a', 'b'), image('a', 'c')];
    for (const { name } of images) await store.get(name, { form: 'plain' });
    await close();
    return { root, directory, names: images.map(({ name }) => name), builts: images.map(({ built }) => built) };
  }

  const recordOf = (directory: string, name: string): string =>
    readdirSync(imagesDir(directory))
      .map((file) => join(imagesDir(directory), file))
      .find((path) => readFileSync(path, 'utf8').includes(JSON.stringify(name))) ?? 'none';

  it.each([
    ['[DS3] empty', ''],
    ['truncated', '{"version":1,"check'],
    ['changed', undefined],
    ['null', 'null'],
    ['of a version to come', '{"version":9}'],
  ])('sets a record aside that is %s, and serves the rest (MESOS-8871)', async (_what, content) => {
    const { root, directory, names } = await withImages();
    const path = recordOf(directory, names[0] ?? '');
    writeFileSync(path, content ?? readFileSync(path, 'utf8').replace(/"createdAt":\d/, '"createdAt":9'));
    const { logger, messages } = listeningLogger();
    const { store } = await open({ logger }, root);
    const recovery = await store.recover();
    expect(recovery).toMatchObject({ images: 1, layers: 3, quarantined: [{ path, reason: expect.stringContaining(path) }] });
    expect(existsSync(path)).toBe(false);
    const [aside, note] = readdirSync(join(root, 'quarantine')).toSorted();
    expect(note).toBe(`${aside}.note`);
    expect(JSON.parse(readFileSync(join(root, 'quarantine', note ?? ''), 'utf8'))).toMatchObject(recovery.quarantined[0] ?? {});
    expect(messages).toContain('set aside');
    expect((await store.list()).map((summary) => summary.name)).toEqual([names[1]]);
    expect((await store.get(names[0] ?? '', { form: 'plain' })).layers).toHaveLength(2);
  });

  it('sets aside a record in a wrong place, a damaged config, and what has no name that it could have', async () => {
    const { root, directory, names, builts } = await withImages();
    const moved = join(imagesDir(directory), `${'0'.repeat(64)}.json`);
    writeFileSync(moved, readFileSync(recordOf(directory, names[0] ?? '')));
    const config = join(configsDir(directory), builts[1]?.configDigest ?? '');
    writeFileSync(config, '{}');
    mkdirSync(join(layersDir(directory), 'lost+found'));
    writeFileSync(join(configsDir(directory), 'stray'), '');
    const { store } = await open({}, root);
    const { quarantined } = await store.recover();
    expect(quarantined.map(({ path }) => path).toSorted()).toEqual(
      [config, join(configsDir(directory), 'stray'), join(layersDir(directory), 'lost+found'), moved].toSorted(),
    );
    expect((await store.get(names[1] ?? '', { form: 'plain' })).config).toMatchObject({ os: 'linux' });
    expect(await store.recover()).toMatchObject({ quarantined: [], images: 2, layers: 3 });
  });

  it('sweeps temporaries, layers that were never finished, and empty layer directories (R10)', async () => {
    const { root, directory } = await withImages();
    const id = (digit: string): string => `sha256:${digit.repeat(64)}`;
    mkdirSync(layerDir(directory, id('1')));
    mkdirSync(layerDir(directory, id('2')));
    writeFileSync(layerFactsPath(directory, id('2'), 'overlay'), '{}');
    const temporaries = [imagesDir, configsDir, layersDir].map((sub) => join(sub(directory), '.x.abc.tmp'));
    for (const path of temporaries) writeFileSync(path, 'half');
    writeFileSync(join(stagingDir(directory), 'half'), 'half');
    const { store } = await open({}, root);
    const planned = await store.recover({ plan: true });
    expect(temporaries.every((path) => existsSync(path))).toBe(true);
    const { swept } = await store.recover();
    expect(planned.swept.toSorted()).toEqual(swept.toSorted());
    expect(swept.toSorted()).toEqual(
      [
        ...temporaries,
        join(stagingDir(directory), 'half'),
        layerDir(directory, id('1')),
        layerDir(directory, id('2')),
        layerFactsPath(directory, id('2'), 'overlay'),
      ].toSorted(),
    );
    expect(await store.recover()).toMatchObject({ swept: [] });
  });

  it.each([
    ['is gone', (root: string) => rmSync(join(root, 'state.db'))],
    ['is damaged', (root: string) => writeFileSync(join(root, 'state.db'), 'damaged '.repeat(1000))],
    ['knows too much', undefined],
  ])('makes the index anew where it %s, as it was but for the last use', async (_what, damage) => {
    const { root, names } = await withImages();
    const before = await open({}, root);
    const rows = { images: before.state.index.images(), layers: before.state.index.layers() };
    expect([rows.images.length, rows.layers.length]).toEqual([2, 3]);
    if (damage === undefined) {
      before.state.index.putLayers([{ diffId: 'sha256:x', form: 'plain', bytes: 1, entries: 1, createdAt: 1 }]);
      before.state.index.removeImage(names[0] ?? '', 'linux/amd64');
    }
    await before.close();
    damage?.(root);
    const after = await open({}, root);
    await after.store.recover();
    expect(after.state.rebuilt).toBe(damage !== undefined);
    const withoutUse = (images: typeof rows.images): unknown[] => images.map((row) => ({ ...row, usedAt: 0 }));
    expect(withoutUse(after.state.index.images())).toEqual(withoutUse(rows.images));
    expect(after.state.index.layers()).toEqual(rows.layers);
  });

  it('counts a layer whose facts are lost', async () => {
    const { root, directory, builts } = await withImages();
    const id = builts[0]?.layers[0]?.diffId ?? '';
    rmSync(layerFactsPath(directory, id, 'plain'));
    rmSync(join(root, 'state.db'));
    const { store, state } = await open({}, root);
    await store.recover();
    expect(state.index.layers().find((row) => row.diffId === id)).toMatchObject({ entries: 1, bytes: builts[0]?.layers[0]?.tar.length });
    expect(existsSync(layerFactsPath(directory, id, 'plain'))).toBe(true);
  });
});

describe('prune', () => {
  it('removes configs too, and never two things under one name', async () => {
    const { store, directory, close } = await open();
    const { name, built } = image('a');
    for (let round = 0; round < 3; round += 1) {
      await store.get(name, { form: 'plain' });
      expect((await store.prune(ALL)).layers).toEqual([built.layers[0]?.diffId]);
    }
    await close();
    for (const sub of [imagesDir, configsDir, layersDir, gcDir]) expect(readdirSync(sub(directory))).toEqual([]);
  });

  it('swallows, counts and tells what can not be swept, and sweeps it the next time', async () => {
    let fail = false;
    const real = await openKernel();
    const kernel = await kernelWith({
      mountTable: () => (fail ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' })) : real.mountTable()),
      isMountPoint: (path) => (fail ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'statx' })) : real.isMountPoint(path)),
    });
    const { logger, messages } = listeningLogger();
    const { store, directory, close } = await open({ kernel, logger });
    await store.get(image('a').name, { form: 'plain' });
    fail = true;
    await store.prune(ALL);
    await store.prune({ ...ALL, keepImages: ['oci:/none'] });
    while (store.sweepErrors < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(messages.some((message) => message.includes('could not be deleted'))).toBe(true);
    expect(readdirSync(gcDir(directory)).length).toBeGreaterThan(0);
    fail = false;
    expect(await store.prune(ALL)).toEqual({ images: [], layers: [], bytes: 0 });
    await close();
    expect(readdirSync(gcDir(directory))).toEqual([]);
  });

  it('that fails half-way says so, and a repeat goes on', async () => {
    const { store, directory } = await open();
    const { name } = image('a', 'b');
    const before = await store.get(name, { form: 'plain' });
    rmSync(gcDir(directory), { recursive: true });
    writeFileSync(gcDir(directory), 'in the way');
    await expect(store.prune(ALL)).rejects.toMatchObject({ code: 'PRUNE_FAILED', cause: { code: 'ENOTDIR' } });
    expect(await store.get(name, { form: 'plain' })).toEqual(before);
    rmSync(gcDir(directory));
    mkdirSync(gcDir(directory));
    expect(await store.prune(ALL)).toMatchObject({ images: [name], layers: before.layers.map((found) => found.id).toSorted() });
  });

  it('leaves alone what a get under way has found to be there', async () => {
    const { name: present } = image('shared');
    const wanted = image('shared', 'new');
    let pruned: unknown;
    const unpacker = new StandInUnpacker(async ({ diffId }) => {
      if (diffId === wanted.built.layers[1]?.diffId) pruned = await opened.store.prune(ALL);
    });
    const opened = await open({ unpacker });
    await opened.store.get(present, { form: 'plain' });
    const { layers } = await opened.store.get(wanted.name, { form: 'plain' });
    expect(pruned).toMatchObject({ images: [present], layers: [] });
    expect(layers.map(({ path }) => readdirSync(path))).toEqual([['shared'], ['new']]);
    expect((await opened.store.prune(ALL)).layers).toHaveLength(2);
  });
});

describe('the last use of an image', () => {
  it('is noted by a get that finds it present', async () => {
    const root = temporaryDirectory('store');
    const first = await open({}, root);
    const { name } = image('a');
    await first.store.get(name, { form: 'plain' });
    const [before] = await first.store.list();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await first.store.get(name, { form: 'plain' });
    await first.close();
    const [after] = await (await open({}, root)).store.list();
    expect(after?.usedAt).toBeGreaterThan(before?.usedAt ?? Number.NaN);
    expect(after?.createdAt).toBe(before?.createdAt);
  });
});

describe('what a get hands out', () => {
  it('can not be changed by its receiver', async () => {
    const { store } = await open();
    const info = await store.get(image('a').name, { form: 'plain' });
    expect(() => Object.assign(info.config['config'] as object, { Cmd: ['evil'] })).toThrow(TypeError);
    expect(() => (info.layers as unknown[]).pop()).toThrow(TypeError);
  });
});
