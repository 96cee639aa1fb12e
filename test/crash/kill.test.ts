import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { BackendName } from '../../src/index.ts';
import { missingImages, ociImage } from '../support/images.ts';
import { seededRandom, seedOfRun } from '../support/random.ts';
import { describeWith } from '../support/requirements.ts';
import { Scene } from './scene.ts';
import type { Job } from './victim.ts';

const missing = missingImages(['tiny', 'base', 'deep', 'app']);
const seed = seedOfRun();
const title = `kill -9 in the middle, then recover (ROOTWRIGHT_SEED=${seed})`;

const victims = (count: number): string[] => Array.from({ length: count }, (_, index) => `victim-${index}`);

interface Case {
  readonly image: string;
  readonly backend: BackendName;
  readonly kills: number;
}

if (missing !== undefined) it.skip(`${title} [SKIPPED: ${missing}]`, () => undefined);
else
  describeWith(['node'], title, () => {
    vi.setConfig({ testTimeout: 300_000 }); // on a busy machine; else a few seconds each
    const random = seededRandom(seed);
    let scene: Scene;

    beforeAll(async () => {
      scene = await Scene.create('crash', [
        { image: 'app', backend: 'overlay' },
        { image: 'deep', backend: 'overlay' },
        { image: 'deep', backend: 'copy' },
        { image: 'base', backend: 'copy' },
      ]);
    });
    afterAll(() => scene?.close());

    /** Kills a job `count` times, at a moment in each part of its duration in turn; `between` brings back what it starts from. */
    async function killRepeatedly(
      job: Job,
      count: number,
      afterEach: (round: number) => Promise<void>,
      alsoKnown: readonly string[] = [],
    ): Promise<void> {
      const duration = await scene.duration(job);
      await afterEach(-1);
      let killed = 0;
      for (let round = 0; round < count; round++) {
        const how = await scene.killAndRecover(job, ((round + random()) / count) * duration, alsoKnown);
        if (how === 'killed') killed++;
        await afterEach(round);
      }
      expect(killed, 'kills that found the job at work').toBeGreaterThan(0);
    }

    describe('pull', () => {
      it.each<Case>([
        { image: 'deep', backend: 'copy', kills: 6 },
        { image: 'base', backend: 'copy', kills: 2 },
        { image: 'app', backend: 'overlay', kills: 2 },
      ])('$image for $backend: no half layer, and the next pull brings the rest', async ({ image, backend, kills }) => {
        const kept = scene.layers();
        let whole: Set<string> | undefined;
        await killRepeatedly(scene.job('pull', { image: ociImage(image), backend }), kills, async () => {
          await scene.withEngine(backend, async (engine) => {
            await engine.pull(ociImage(image));
            whole ??= scene.layers();
            expect(scene.layers()).toEqual(whole);
            await engine.prune();
          });
          scene.expectInOrder();
          expect(scene.layers()).toEqual(kept);
        });
      });
    });

    describe('provision', () => {
      it.each<Case & { readonly count: number; readonly present: boolean }>([
        { image: 'deep', backend: 'overlay', count: 12, kills: 6, present: true },
        { image: 'deep', backend: 'copy', count: 3, kills: 3, present: true },
        { image: 'base', backend: 'copy', count: 1, kills: 2, present: false },
      ])('$count × $image by $backend: nothing of the unknown containers is left, and they can be provisioned', async (row) => {
        const { image, backend, count, kills, present } = row;
        const containers = victims(count);
        if (present) await scene.withEngine(backend, (engine) => engine.pull(ociImage(image)));
        await killRepeatedly(scene.job('provision', { containers, image: ociImage(image), backend }), kills, async () => {
          await scene.withEngine(backend, async (engine) => {
            for (const { rootfs } of await Promise.all(containers.map((container) => engine.provision(container, ociImage(image)))))
              expect(existsSync(join(rootfs, 'etc/passwd'))).toBe(true);
            expect(await Promise.all(containers.map((container) => engine.destroy(container)))).toEqual(containers.map(() => true));
            if (!present) await engine.prune();
          });
          scene.expectInOrder();
        });
      });
    });

    describe('destroy', () => {
      it.each<Case & { readonly count: number; readonly known: boolean }>([
        { image: 'deep', backend: 'overlay', count: 8, kills: 4, known: false },
        { image: 'deep', backend: 'overlay', count: 8, kills: 4, known: true },
        { image: 'base', backend: 'copy', count: 1, kills: 2, known: false },
        { image: 'base', backend: 'copy', count: 1, kills: 2, known: true },
      ])('$count × $image by $backend, known to the agent: $known: it can be repeated, and leaves nothing', async (row) => {
        const { image, backend, count, kills, known } = row;
        const containers = victims(count);
        const all = containers.flatMap((container) => [container, `${container}.child`]);
        const provision = (): Promise<void> =>
          scene.withEngine(backend, async (engine) => {
            for (const container of all) await engine.provision(container, ociImage(image));
          });
        await provision();
        const job = { ...scene.job('destroy', { containers, backend }), known: [...scene.known, ...all] };
        const destroyAgain = async (round: number): Promise<void> => {
          // false where recovery, or the destroy itself, had come to the end.
          await scene.withEngine(backend, (engine) => Promise.all(containers.map((container) => engine.destroy(container))));
          scene.expectInOrder();
          if (round < kills - 1) await provision();
        };
        await killRepeatedly(job, kills, destroyAgain, known ? all : []);
      });
    });

    describe('prune', () => {
      it.each<Case>([
        { image: 'deep', backend: 'copy', kills: 6 },
        { image: 'base', backend: 'copy', kills: 2 },
        { image: 'app', backend: 'overlay', kills: 2 },
      ])('$image of $backend: layers in use stay whole, and the next prune takes the rest', async ({ image, backend, kills }) => {
        await scene.withEngine(backend, (engine) => engine.prune());
        const kept = scene.layers();
        expect(kept.size).toBeGreaterThan(0);
        const pull = (): Promise<unknown> => scene.withEngine(backend, (engine) => engine.pull(ociImage(image)));
        await pull();
        await killRepeatedly(scene.job('prune'), kills, async (round) => {
          await scene.withEngine(backend, (engine) => engine.prune());
          scene.expectInOrder();
          expect(scene.layers()).toEqual(kept);
          if (round < kills - 1) await pull();
        });
      });
    });
  });
