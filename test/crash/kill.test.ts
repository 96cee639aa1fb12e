import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackendName } from '../../src/index.ts';
import { missingImages, ociImage } from '../support/images.ts';
import { seededRandom, seedOfRun } from '../support/random.ts';
import { describeWith } from '../support/requirements.ts';
import { Scene } from './scene.ts';
import type { Job } from './victim.ts';

const missing = missingImages(['tiny', 'base', 'deep', 'app']);
const seed = seedOfRun();
const title = `kill -9 in the middle, then recover (ROOTWRIGHT_SEED=${seed})`;

interface Case {
  readonly image: string;
  readonly backend: BackendName;
  readonly kills: number;
}

if (missing !== undefined) it.skip(`${title} [SKIPPED: ${missing}]`, () => undefined);
else
  describeWith(['node'], title, () => {
    const random = seededRandom(seed);
    let scene: Scene;

    beforeAll(async () => {
      scene = await Scene.create('crash', [
        { image: 'app', backend: 'overlay' },
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
        { image: 'app', backend: 'overlay', kills: 3 },
      ])('$image for $backend: no half layer, and the next pull brings the rest', async ({ image, backend, kills }) => {
        const job = scene.job('pull', { image: ociImage(image), backend });
        const kept = scene.layers();
        let whole: Set<string> | undefined;
        await killRepeatedly(job, kills, async () => {
          await scene.rootwright(['pull', ociImage(image), '--form', backend === 'overlay' ? 'overlay' : 'plain']);
          scene.expectInOrder();
          whole ??= scene.layers();
          expect(scene.layers()).toEqual(whole);
          await scene.rootwright(['prune']);
          expect(scene.layers()).toEqual(kept);
        });
      });
    });

    describe('provision', () => {
      it.each<Case & { readonly present: boolean }>([
        { image: 'deep', backend: 'overlay', kills: 5, present: true },
        { image: 'deep', backend: 'copy', kills: 3, present: true },
        { image: 'base', backend: 'copy', kills: 3, present: false },
      ])('$image by $backend: nothing of the unknown container is left, and it can be provisioned', async ({ image, backend, kills, present }) => {
        const job = scene.job('provision', { container: 'victim', image: ociImage(image), backend });
        await killRepeatedly(job, kills, async () => {
          await scene.rootwright(['provision', 'victim', ociImage(image), '--backend', backend]);
          await scene.rootwright(['destroy', 'victim']);
          if (!present) await scene.rootwright(['prune']);
          scene.expectInOrder();
        });
      });
    });

    describe('destroy', () => {
      it.each<Case & { readonly known: boolean }>([
        { image: 'deep', backend: 'overlay', kills: 4, known: false },
        { image: 'deep', backend: 'overlay', kills: 3, known: true },
        { image: 'base', backend: 'copy', kills: 2, known: false },
        { image: 'base', backend: 'copy', kills: 2, known: true },
      ])('$image by $backend, known to the agent: $known: it can be repeated, and leaves nothing', async ({ image, backend, kills, known }) => {
        const provision = async (): Promise<void> => {
          await scene.rootwright(['provision', 'victim', ociImage(image), '--backend', backend]);
          await scene.rootwright(['provision', 'victim.child', ociImage(image), '--backend', backend]);
        };
        await provision();
        const job = { ...scene.job('destroy', { container: 'victim', backend }), known: [...scene.known, 'victim', 'victim.child'] };
        const alsoKnown = known ? ['victim', 'victim.child'] : [];
        await killRepeatedly(
          job,
          kills,
          async (round) => {
            // Exit status 3: recovery, or the destroy itself, had come to the end.
            await scene.rootwright(['destroy', 'victim'], [0, 3]);
            scene.expectInOrder();
            if (round < kills - 1) await provision();
          },
          alsoKnown,
        );
      });
    });

    describe('prune', () => {
      it.each<Case>([
        { image: 'deep', backend: 'copy', kills: 6 },
        { image: 'base', backend: 'copy', kills: 2 },
        { image: 'app', backend: 'overlay', kills: 2 },
      ])('$image of $backend: layers in use stay whole, and the next prune takes the rest', async ({ image, backend, kills }) => {
        const kept = scene.layers();
        const pull = (): Promise<unknown> => scene.rootwright(['pull', ociImage(image), '--form', backend === 'overlay' ? 'overlay' : 'plain']);
        await pull();
        await killRepeatedly(scene.job('prune'), kills, async (round) => {
          await scene.rootwright(['prune']);
          scene.expectInOrder();
          expect(scene.layers()).toEqual(kept);
          if (round < kills - 1) await pull();
        });
      });
    });
  });
