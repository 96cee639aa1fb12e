import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { containerName, inParallel, openEngine } from '../embedded.ts';
import type { Contender, Experiment } from '../experiment.ts';
import { Podman } from '../peers/podman.ts';
import { installed } from '../programs.ts';

const PS = '`podman ps -a`';
const COUNT = 1000;

/** Whole processes that list a thousand containers. */
export const listContainers: Experiment = {
  name: 'list',
  rounds: 9,
  rows: [{ name: 'list', work: '`rootwright list`, whole process, 1,000 containers', theirs: PS, bound: 0.5, unit: 's' }],
  prepare: async ({ disk, images }) => {
    const root = join(disk.directory, 'rootwright');
    const engine = await openEngine(root);
    const image = `oci:${join(images, 'oci', 'app')}:latest`;
    await inParallel(COUNT, 16, (index) => engine.provision(containerName(index), image));
    await engine.close();
    const command = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');
    const ours: Contender = {
      name: 'rootwright',
      run: async () => {
        const [seconds, output] = timed(process.execPath, [command, 'list', '--json', '--root', root]);
        const listed = output.match(/bench-\d+/g) ?? [];
        if (new Set(listed).size !== COUNT) throw new Error(`${new Set(listed).size} containers listed, not ${COUNT}`);
        return seconds;
      },
    };
    return [ours, await podman(disk.directory, images)];
  },
};

async function podman(directory: string, images: string): Promise<Contender> {
  if (!installed('podman')) return { name: PS, missing: 'podman is not installed', run: () => Promise.reject(new Error('not installed')) };
  const peer = new Podman(join(directory, 'podman'));
  const image = peer.load(join(images, 'docker', 'app.tar'));
  await peer.startService();
  await inParallel(COUNT, 1, (index) => peer.create(`b${index}`, image));
  await peer.stopService();
  return {
    name: PS,
    run: async () => {
      const start = performance.now();
      const lines = peer.run('ps', '-a').trim().split('\n').length - 1;
      if (lines !== COUNT) throw new Error(`${lines} containers listed, not ${COUNT}`);
      return (performance.now() - start) / 1000;
    },
  };
}

function timed(file: string, args: readonly string[]): [number, string] {
  const start = performance.now();
  const output = execFileSync(file, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  return [(performance.now() - start) / 1000, output];
}
