import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LayerForm } from '../../src/paths/docker-store.ts';
import type { GetOptions, PullProgress, Store } from '../../src/stores/store.ts';
import type { LayerSpec } from '../support/image-builder.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** One kind of store, as the suite needs it. */
export interface StoreUnderTest {
  readonly form: LayerForm;
  /** Opens a store below `root`, as a new process would. */
  readonly open: (root: string) => Promise<{ readonly store: Store; readonly close: () => Promise<void> }>;
  /** Writes an image of these layers (lowest first) as `directory`/`tag`, replacing one of that name; its name for {@link Store.get}. */
  readonly writeImage: (directory: string, tag: string, layers: readonly LayerSpec[]) => string;
  /** Where the store keeps unfinished work, and what it is about to delete: empty when nothing is under way. */
  readonly transient: (root: string) => readonly string[];
}

const BASE: LayerSpec = { entries: [{ path: 'etc/' }, { path: 'etc/os', content: 'base' }, { path: 'bin', content: 'old' }] };
const TOP: LayerSpec = {
  entries: [
    { path: 'bin', content: 'new' },
    { path: 'etc/app', content: 'x'.repeat(3000) },
  ],
};
const OTHER: LayerSpec = { entries: [{ path: 'other', content: 'other' }] };

/** What every {@link Store} keeps to. */
export function storeConformance(name: string, kind: StoreUnderTest): void {
  /** A root with a store that was recovered, and a directory for images. */
  async function start(): Promise<Setup> {
    const directory = temporaryDirectory('store');
    const setup = new Setup(kind, directory);
    onTestFinished(() => setup.close());
    await setup.reopen();
    return setup;
  }

  describe(`the store ${name}`, () => {
    describe('names', () => {
      it('are canonical: normalising twice changes nothing, and the image carries that name', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE]);
        const normal = setup.store.normalize(image);
        expect(setup.store.accepts(image)).toBe(true);
        expect(setup.store.normalize(normal)).toBe(normal);
        expect((await setup.get(image)).name).toBe(normal);
      });

      it('that are none are refused', async () => {
        const { store } = await start();
        expect(store.accepts('')).toBe(false);
        expect(() => store.normalize('')).toThrow(expect.objectContaining({ code: 'INVALID_IMAGE_NAME' }));
        await expect(store.get('', { form: kind.form })).rejects.toMatchObject({ code: 'INVALID_IMAGE_NAME' });
      });
    });

    describe('get', () => {
      it('gives the layers lowest first, each a directory with its own content and no other (DS1)', async () => {
        const setup = await start();
        const { layers } = await setup.get(setup.write('a', [BASE, TOP]));
        expect(layers).toHaveLength(2);
        const [base = '', top = ''] = layers.map((layer) => layer.path);
        expect(readdirSync(base).toSorted()).toEqual(['bin', 'etc']);
        expect(readFileSync(join(base, 'bin'), 'utf8')).toBe('old');
        expect(readFileSync(join(top, 'bin'), 'utf8')).toBe('new');
        expect(readdirSync(join(top, 'etc'))).toEqual(['app']);
        expect(layers.map((layer) => layer.id)).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/), expect.stringMatching(/^sha256:/)]);
      });

      it('gives the config as the image has it, and digests', async () => {
        const setup = await start();
        const image = await setup.get(setup.write('a', [BASE]));
        expect(image.config).toMatchObject({ os: 'linux', config: { Cmd: ['/bin/sh'] }, rootfs: { diff_ids: [image.layers[0]?.id] } });
        expect([image.manifestDigest, image.configDigest]).toEqual([expect.stringMatching(/^sha256:/), expect.stringMatching(/^sha256:/)]);
      });

      it('serves a present image without its source', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const first = await setup.get(image);
        setup.removeSources();
        expect(await setup.get(image)).toEqual(first);
      });

      it('looks at the source again with cached: false, and takes what is there now', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE]);
        const before = await setup.get(image);
        setup.write('a', [BASE, TOP]);
        expect(await setup.get(image)).toEqual(before);
        const after = await setup.get(image, { cached: false });
        expect(after.layers).toHaveLength(2);
        expect(await setup.get(image)).toEqual(after);
        setup.removeSources();
        await expect(setup.get(image, { cached: false })).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
        expect(await setup.get(image)).toEqual(after);
      });

      it('of an image that is nowhere fails and leaves nothing', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE]);
        setup.removeSources();
        await expect(setup.get(image)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
        expect(await setup.store.list()).toEqual([]);
        setup.expectNothingUnderWay();
      });

      it('[DS2] by a new store on the same directory serves the image from disk', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const before = await setup.get(image);
        setup.removeSources();
        await setup.reopen();
        expect(await setup.get(image)).toEqual(before);
        expect((await setup.store.list()).map((summary) => summary.name)).toEqual([before.name]);
      });

      it('[DS4] brings back a layer that is missing', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const before = await setup.get(image);
        rmSync(before.layers[1]?.path ?? '', { recursive: true });
        expect(await setup.get(image)).toEqual(before);
        expect(readFileSync(join(before.layers[1]?.path ?? '', 'bin'), 'utf8')).toBe('new');
      });

      it('[DS4] fails where the source is gone by then, and goes on when it is back', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const before = await setup.get(image);
        rmSync(before.layers[0]?.path ?? '', { recursive: true });
        setup.removeSources();
        await expect(setup.get(image)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
        setup.write('a', [BASE, TOP]);
        expect(await setup.get(image)).toEqual(before);
      });

      it('lists a layer that comes twice once, at its topmost place (MESOS-6654)', async () => {
        const setup = await start();
        const { layers } = await setup.get(setup.write('a', [BASE, TOP, BASE]));
        expect(layers).toHaveLength(2);
        expect(readFileSync(join(layers[1]?.path ?? '', 'bin'), 'utf8')).toBe('old');
      });

      it('shares layers between images, also when both are brought at once', async () => {
        const setup = await start();
        const names = [setup.write('a', [BASE, TOP]), setup.write('b', [BASE, OTHER]), setup.write('c', [BASE, TOP, OTHER])];
        const images = await Promise.all(names.map((image) => setup.get(image)));
        expect(new Set(images.flatMap((image) => image.layers.map((layer) => layer.path))).size).toBe(3);
        expect(new Set(images.map((image) => image.layers[0]?.id)).size).toBe(1);
        setup.expectNothingUnderWay();
      });

      it('tells of each layer in order, to the end', async () => {
        const setup = await start();
        const events: PullProgress[] = [];
        const image = setup.write('a', [BASE, TOP]);
        await setup.get(image, { onProgress: (event) => events.push(event) });
        const states = groupStates(events);
        for (const seen of states.values()) {
          expect(seen.at(-1)).toBe('done');
          expect(seen.toSorted((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b))).toEqual(seen);
        }
        expect(states.size).toBe(2);
        expect(events.every((event) => event.bytes <= event.totalBytes && event.image === setup.store.normalize(image))).toBe(true);
        const again: PullProgress[] = [];
        await setup.get(image, { cached: false, onProgress: (event) => again.push(event) });
        expect(again.map((event) => event.state)).toEqual(['exists', 'exists']);
      });

      it('that is aborted before it begins does nothing', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE]);
        await expect(setup.get(image, {}, AbortSignal.abort(new Error('no')))).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'no' } });
        expect(await setup.store.list()).toEqual([]);
      });

      it('that is aborted on the way settles when all has stopped; a new one brings the image (R7)', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP, OTHER]);
        const controller = new AbortController();
        const aborted = setup.get(image, { onProgress: () => controller.abort() }, controller.signal);
        await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
        setup.expectNothingUnderWay();
        expect(await setup.store.list()).toEqual([]);
        expect((await setup.get(image)).layers).toHaveLength(3);
      });

      it('[DS5] of one caller is not hurt by another that leaves', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const controller = new AbortController();
        const [left, ...stayed] = [
          setup.get(image, { onProgress: () => controller.abort() }, controller.signal),
          setup.get(image, { cached: false }),
          setup.get(image, { cached: false }),
        ];
        await expect(left).rejects.toMatchObject({ code: 'ABORTED' });
        const [second, third] = await Promise.all(stayed);
        expect(second).toEqual(third);
        expect(second?.layers).toHaveLength(2);
      });
    });

    describe('list', () => {
      it('tells what each image is made of, by name', async () => {
        const setup = await start();
        const [b, a] = [await setup.get(setup.write('b', [BASE, TOP])), await setup.get(setup.write('a', [BASE]))];
        const list = await setup.store.list();
        expect(list.map((image) => image.name)).toEqual([a.name, b.name]);
        expect(list[1]).toMatchObject({
          manifestDigest: b.manifestDigest,
          configDigest: b.configDigest,
          layerIds: b.layers.map((layer) => layer.id),
        });
        expect(list[1]?.bytes).toBeGreaterThan(list[0]?.bytes ?? Number.NaN);
        expect(list[0]?.usedAt).toBeGreaterThanOrEqual(list[0]?.createdAt ?? Number.NaN);
      });
    });

    describe('prune', () => {
      const all = { keepImages: [], keepIds: new Set<string>() };

      it('of a fresh store finds nothing', async () => {
        const { store } = await start();
        expect(await store.prune(all)).toEqual({ images: [], layers: [], bytes: 0 });
        expect(await store.prune({ ...all, dryRun: true })).toEqual({ images: [], layers: [], bytes: 0 });
      });

      it('removes what is not kept, and leaves the layers that a kept image shares', async () => {
        const setup = await start();
        const [kept, gone] = [await setup.get(setup.write('kept', [BASE, OTHER])), await setup.get(setup.write('gone', [BASE, TOP]))];
        const report = await setup.store.prune({ ...all, keepImages: [kept.name] });
        expect(report).toMatchObject({ images: [gone.name], layers: [gone.layers[1]?.id] });
        expect(report.bytes).toBeGreaterThan(0);
        setup.removeSources();
        expect(await setup.get(kept.name)).toEqual(kept);
        expect((await setup.store.list()).map((image) => image.name)).toEqual([kept.name]);
        await expect(setup.get(gone.name)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
      });

      it('leaves layers and configs that live rootfses use (R5, R6)', async () => {
        const setup = await start();
        const image = await setup.get(setup.write('a', [BASE, TOP]));
        const report = await setup.store.prune({ ...all, keepIds: new Set([image.layers[0]?.id ?? '', image.configDigest]) });
        expect(report).toMatchObject({ images: [image.name], layers: [image.layers[1]?.id] });
        expect(readFileSync(join(image.layers[0]?.path ?? '', 'bin'), 'utf8')).toBe('old');
        expect((await setup.store.prune(all)).layers).toEqual([image.layers[0]?.id]);
      });

      it('only tells with dryRun, the same as it then does', async () => {
        const setup = await start();
        const [a, b] = [await setup.get(setup.write('a', [BASE, TOP])), await setup.get(setup.write('b', [BASE, OTHER]))];
        const told = await setup.store.prune({ ...all, keepImages: [a.name], dryRun: true });
        setup.removeSources();
        expect([await setup.get(a.name), await setup.get(b.name)]).toEqual([a, b]);
        expect(await setup.store.prune({ ...all, keepImages: [a.name] })).toEqual(told);
      });

      it('can be followed by the same image again, and again by prune', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP]);
        const first = await setup.get(image);
        const report = await setup.store.prune(all);
        expect(await setup.get(image)).toEqual(first);
        expect(await setup.store.prune(all)).toEqual(report);
        await setup.close();
        setup.expectNothingUnderWay();
      });

      it('beside a get of the same image leaves that whole', async () => {
        const setup = await start();
        const image = setup.write('a', [BASE, TOP, OTHER]);
        for (let round = 0; round < 10; round += 1) {
          const [got] = await Promise.all([setup.get(image), setup.store.prune(all), setup.store.prune(all)]);
          // What a get has handed out is its caller's to protect: only one that ended after the prunes is looked at.
          const after = await setup.get(image);
          expect(after).toEqual(got);
          expect(after.layers.map((layer) => readdirSync(layer.path).length > 0)).toEqual([true, true, true]);
        }
      });

      it('that is aborted says so', async () => {
        const setup = await start();
        await setup.get(setup.write('a', [BASE]));
        await expect(setup.store.prune(all, AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
        expect(await setup.store.list()).toHaveLength(1);
      });
    });

    describe('recover', () => {
      it('of a fresh store finds nothing, and may be repeated', async () => {
        const { store } = await start();
        const nothing = { swept: [], quarantined: [], images: 0, layers: 0 };
        expect(await store.recover()).toEqual(nothing);
        expect(await store.recover()).toEqual(nothing);
      });

      it('counts what is there', async () => {
        const setup = await start();
        await setup.get(setup.write('a', [BASE, TOP]));
        await setup.get(setup.write('b', [BASE, OTHER]));
        expect(await setup.store.recover()).toMatchObject({ images: 2, layers: 3, quarantined: [] });
      });

      it('sweeps what a killed process left under way (R8, R10)', async () => {
        const setup = await start();
        for (const directory of kind.transient(setup.root)) mkdirSync(join(directory, 'left', 'deep'), { recursive: true });
        const { swept } = await setup.store.recover();
        expect(swept.toSorted()).toEqual(
          kind
            .transient(setup.root)
            .map((directory) => join(directory, 'left'))
            .toSorted(),
        );
        setup.expectNothingUnderWay();
      });
    });

    it('that is closed refuses work', async () => {
      const setup = await start();
      const { store } = setup;
      const image = setup.write('a', [BASE]);
      await setup.close();
      await expect(store.get(image, { form: kind.form })).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    });
  });
}

const ORDER: ReadonlyArray<PullProgress['state']> = ['waiting', 'unpacking', 'done', 'exists'];

function groupStates(events: readonly PullProgress[]): Map<string, Array<PullProgress['state']>> {
  const states = new Map<string, Array<PullProgress['state']>>();
  for (const { layer, state } of events) states.set(layer, [...(states.get(layer) ?? []), state]);
  return states;
}

class Setup {
  readonly root: string;
  readonly #kind: StoreUnderTest;
  readonly #images: string;
  #open: Awaited<ReturnType<StoreUnderTest['open']>> | undefined;

  constructor(kind: StoreUnderTest, directory: string) {
    this.#kind = kind;
    this.root = join(directory, 'root');
    this.#images = join(directory, 'images');
  }

  get store(): Store {
    if (this.#open === undefined) throw new Error('the store is closed');
    return this.#open.store;
  }

  async reopen(): Promise<void> {
    await this.close();
    this.#open = await this.#kind.open(this.root);
    await this.store.recover();
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.close();
  }

  write(tag: string, layers: readonly LayerSpec[]): string {
    mkdirSync(this.#images, { recursive: true });
    return this.#kind.writeImage(this.#images, tag, layers);
  }

  removeSources(): void {
    rmSync(this.#images, { recursive: true, force: true });
  }

  get(image: string, options: Partial<GetOptions> = {}, signal?: AbortSignal): ReturnType<Store['get']> {
    return this.store.get(image, { form: this.#kind.form, ...options }, signal);
  }

  expectNothingUnderWay(): void {
    expect(this.#kind.transient(this.root).flatMap((directory) => readdirSync(directory).map((entry) => join(directory, entry)))).toEqual([]);
  }
}
