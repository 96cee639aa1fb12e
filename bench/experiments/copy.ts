import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { openEngine } from '../embedded.ts';
import type { Experiment } from '../experiment.ts';

const CP = '`cp -a` of the merged tree';

/** A whole rootfs of `app` copied from its plain layers, against cp of the finished tree on the same file system. */
export const copyApp: Experiment = {
  name: 'copy',
  rounds: 3,
  rows: [{ name: 'copy', work: 'copy backend, `app`', theirs: CP, bound: 0.7, unit: 's' }],
  prepare: async ({ images, disk }) => {
    const image = `oci:${join(images, 'oci', 'app')}:latest`;
    const engine = await openEngine(join(disk.directory, 'rootwright'), 'copy');
    await engine.pull(image);
    const source = (await engine.provision('source', image)).rootfs;
    let round = 0;
    const timed = async (body: () => Promise<unknown>): Promise<number> => {
      disk.settle();
      const start = performance.now();
      await body();
      return (performance.now() - start) / 1000;
    };
    // As with unpacking, nothing is deleted between rounds.
    return [
      {
        name: 'rootwright',
        run: () => timed(() => engine.provision(`copy-${round++}`, image)),
        close: () => engine.close(),
      },
      { name: CP, run: () => timed(async () => execFileSync('cp', ['-a', source, join(disk.directory, `cp-${round++}`)])) },
    ];
  },
};
