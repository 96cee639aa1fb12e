import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEngine } from '../../src/index.ts';
import type { Bench, Experiment } from '../experiment.ts';

const TAR = '`gzip -dc` piped to `tar -x`, layer by layer';

export const unpackApp = unpack('app');
export const unpackWide = unpack('wide');

/** From an OCI layout in the page cache into an empty store, digests verified and everything flushed, against tar, which does neither. */
function unpack(name: string): Experiment {
  return {
    name: `unpack-${name}`,
    rounds: 3,
    rows: [{ name: `unpack-${name}`, work: `unpack \`${name}\` from an OCI layout, overlay form`, theirs: TAR, bound: 0.5, unit: 's' }],
    prepare: async (bench) => {
      const blobs = layerBlobs(bench, name);
      const flushes: number[] = [];
      let round = 0;
      // Nothing is deleted between rounds: ext4 avoids inodes that were freed lately, and the next one would pay for that.
      const begin = (who: string): string => {
        execFileSync('sh', ['-c', 'cat "$@" >/dev/null', 'sh', ...blobs]);
        bench.disk.settle();
        return join(bench.disk.directory, `${who}-${round++}`);
      };
      return [
        {
          name: 'rootwright',
          run: async () => {
            const engine = await createEngine({ root: begin('rootwright'), backend: 'overlay' });
            await engine.recover();
            const start = performance.now();
            await engine.pull(`oci:${join(bench.images, 'oci', name)}:latest`);
            const seconds = (performance.now() - start) / 1000;
            await engine.close();
            return seconds;
          },
        },
        {
          name: TAR,
          run: async () => {
            const directory = begin('tar');
            mkdirSync(directory);
            const start = performance.now();
            execFileSync('bash', ['-o', 'pipefail', '-ec', SCRIPT, 'bash', directory, ...blobs], { stdio: ['ignore', 'ignore', 'pipe'] });
            const seconds = (performance.now() - start) / 1000;
            flushes.push(bench.disk.settle());
            return seconds;
          },
          notes: () => [
            `rootwright's time has the flush to disk in it; after tar the flush took ${flushes.map((s) => s.toFixed(2)).join(', ')} s more`,
          ],
        },
      ];
    },
  };
}

const SCRIPT = `cd "$1"; shift; i=0
for blob; do mkdir $i; gzip -dc <"$blob" | tar -C $i --numeric-owner --xattrs --xattrs-include='*' -xpf -; i=$((i+1)); done`;

function layerBlobs(bench: Bench, name: string): string[] {
  const layout = join(bench.images, 'oci', name);
  const blob = ({ digest }: { digest: string }): string => join(layout, 'blobs', ...digest.split(':'));
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: Array<{ digest: string }> };
  const manifest = JSON.parse(readFileSync(blob(index.manifests[0] as { digest: string }), 'utf8')) as { layers: Array<{ digest: string }> };
  return manifest.layers.map(blob);
}
