import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openEngine } from '../embedded.ts';
import type { Bench, Contender, Experiment } from '../experiment.ts';
import { Containerd } from '../peers/containerd.ts';
import { installed } from '../programs.ts';

const run = promisify(execFile);
const SIZES = [1000, 5000, 10_000] as const;
const IDLE = 'containerd idle';

/** A new process recovers containers that all live, are checkpointed, mounted and known: seconds from creating the engine to the end of recover. */
export const recoverKnown: Experiment = {
  name: 'recover',
  rounds: 3,
  rows: [{ name: 'recover', work: 'recover 10,000 checkpointed containers, all known', ours: nameOf(10_000), bound: 2, unit: 's' }],
  prepare: async (bench) => Promise.all(SIZES.map((size) => recovery(bench, size))),
};

/** What the engine's process holds once 10,000 containers live in it, and once it has recovered them. */
export const memory: Experiment = {
  name: 'memory',
  rounds: 1,
  rows: [{ name: 'memory', work: 'memory of the engine with 10,000 containers', theirs: IDLE, bound: 5, unit: 'MB' }],
  prepare: async (bench) => {
    const root = await fill(bench, 0);
    let filled = 0;
    return [
      {
        name: 'rootwright',
        run: async () => {
          const child = filled === 0 ? await bulk('fill', root, imageOf(bench), '10000') : await bulk('recover', root, '10000');
          filled ||= child.residentMB;
          return Math.max(filled, child.residentMB);
        },
        notes: () => [
          `resident after provisioning them: ${filled.toFixed(0)} MB; the row has the larger of this and of a new process that recovered them`,
        ],
        close: async () => void (await bulk('drain', root, '10000')),
      },
      idleContainerd(bench),
    ];
  },
};

function nameOf(size: number): string {
  return `recover of ${size.toLocaleString('en')}`;
}

async function recovery(bench: Bench, size: number): Promise<Contender> {
  const root = await fill(bench, size);
  const seconds: number[] = [];
  return {
    name: nameOf(size),
    run: async () => {
      const child = await bulk('recover', root, `${size}`);
      if (child.containers !== size) throw new Error(`${child.containers} containers after recovery, not ${size}`);
      seconds.push(child.seconds);
      return child.seconds;
    },
    notes: () => [`${size.toLocaleString('en')} containers: ${((Math.min(...seconds) / size) * 1e6).toFixed(0)} µs each at best`],
    close: async () => void (await bulk('drain', root, `${size}`)),
  };
}

/** A root of its own with `size` containers of `app`. */
async function fill(bench: Bench, size: number): Promise<string> {
  const root = join(bench.disk.directory, `root-${size}`);
  const engine = await openEngine(root);
  await engine.pull(imageOf(bench));
  await engine.close();
  if (size > 0) await bulk('fill', root, imageOf(bench), `${size}`);
  return root;
}

const imageOf = (bench: Bench): string => `oci:${join(bench.images, 'oci', 'tiny')}:latest`;

async function bulk(...args: string[]): Promise<{ seconds: number; residentMB: number; containers: number }> {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, '..', 'bulk.js'), ...args], { maxBuffer: 1 << 28 });
  return JSON.parse(stdout === '' ? '{}' : stdout) as { seconds: number; residentMB: number; containers: number };
}

function idleContainerd(bench: Bench): Contender {
  const { ctrbench } = bench.programs;
  if (!installed('containerd') || ctrbench === undefined)
    return { name: IDLE, missing: 'containerd or ctrbench is not installed', run: () => Promise.reject(new Error('not installed')) };
  return {
    name: IDLE,
    run: async () => {
      const daemon = new Containerd(join(bench.disk.directory, `containerd-${process.hrtime.bigint()}`), ctrbench);
      await daemon.start();
      await new Promise((resolve) => setTimeout(resolve, 2000));
      const resident = daemon.residentMB;
      await daemon.stop();
      return resident;
    },
  };
}
