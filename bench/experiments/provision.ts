import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../../src/index.ts';
import { bulk, inParallel, lowersOf, openEngine } from '../embedded.ts';
import type { Bench, Contender, Experiment } from '../experiment.ts';
import { Containerd, type BulkResult } from '../peers/containerd.ts';
import { Podman } from '../peers/podman.ts';
import { installed } from '../programs.ts';

const BARE = 'bare system calls in C';
const BARE_DURABLE = 'bare system calls in C, plus one fsynced file';
const API = 'containerd through its API';
const CTR = 'ctr, a process each';
const REST = "podman's REST API";

/** One container after the other, all live at once, then all destroyed: microseconds a container, provision and destroy together. */
export const provisionSerial: Experiment = {
  name: 'provision',
  rounds: 5,
  rows: [
    row('provision-floor', BARE_DURABLE, 1.8),
    row('provision-containerd', API, 0.5),
    row('provision-ctr', CTR, 0.07),
    row('provision-podman', REST, 0.06),
  ],
  prepare: (bench, wanted) => contenders(bench, wanted, { count: 300, atOnce: 1 }),
};

/** The same with a thousand containers, sixteen at a time. */
export const provisionMany: Experiment = {
  name: 'many',
  rounds: 5,
  rows: [
    { ...row('many-floor', BARE, 2.5), work: '1,000 containers, 16 at a time, provision and destroy' },
    { ...row('many-containerd', API, 0.3), work: '1,000 containers, 16 at a time, provision and destroy' },
  ],
  prepare: (bench, wanted) => contenders(bench, wanted, { count: 1000, atOnce: 16 }),
};

function row(name: string, theirs: string, bound: number): Experiment['rows'][number] {
  return { name, work: 'provision + destroy, overlay, `app` present, in process, serial, checkpoint durable', theirs, bound, unit: 'us' };
}

interface Load {
  readonly count: number;
  readonly atOnce: number;
}

async function contenders(bench: Bench, wanted: ReadonlySet<string>, load: Load): Promise<Contender[]> {
  const image = `oci:${join(bench.images, 'oci', 'app')}:latest`;
  const engine = await openEngine(join(bench.disk.directory, 'rootwright'));
  const { layers } = await engine.pull(image);
  const lowers = lowersOf(
    layers.map(({ path }) => path),
    join(bench.disk.directory, 'l'),
  );
  const all: Array<() => Contender | Promise<Contender>> = [() => ours(engine, image, load)];
  if (wanted.has(BARE)) all.push(() => bare(bench, BARE, 'new', lowers, load));
  if (wanted.has(BARE_DURABLE) || wanted.has(BARE)) all.push(() => bare(bench, BARE_DURABLE, 'new+fsync', lowers, load));
  if (wanted.has(API) || wanted.has(CTR)) all.push(...containerd(bench, wanted, load));
  if (wanted.has(REST)) all.push(() => podman(bench));
  const result: Contender[] = [];
  for (const make of all) result.push(await make());
  return result;
}

function ours(engine: Engine, image: string, { count, atOnce }: Load): Contender {
  let last: BulkResult | undefined;
  return {
    name: 'rootwright',
    run: async () => each((last = await bulk(engine, image, count, atOnce)), count),
    notes: () => (last === undefined ? [] : [`rootwright: ${phases(last, count)}`]),
    close: () => engine.close(),
  };
}

function bare(bench: Bench, name: string, api: string, lowers: string, { count, atOnce }: Load): Contender {
  const directory = join(bench.disk.directory, 'bare');
  let last: BulkResult | undefined;
  return {
    name,
    run: async () => {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      const args = ['bulk', lowers, `${count}`, `${atOnce}`, api, '-', directory];
      last = JSON.parse(execFileSync(bench.programs.ovl, args, { encoding: 'utf8', maxBuffer: 1 << 28 })) as BulkResult;
      return each(last, count);
    },
    notes: () => (last === undefined ? [] : [`${name}: ${phases(last, count)}`]),
  };
}

/** One daemon for both ways of speaking to it. */
function containerd(bench: Bench, wanted: ReadonlySet<string>, { count, atOnce }: Load): Array<() => Promise<Contender>> {
  const { ctrbench } = bench.programs;
  if (!installed('containerd') || ctrbench === undefined) return [API, CTR].map((name) => async () => absent(name, 'containerd, ctr or ctrbench'));
  const daemon = new Containerd(join(bench.disk.directory, 'containerd'), ctrbench);
  let image = '';
  const start = async (): Promise<void> => {
    if (image !== '') return;
    await daemon.start();
    image = daemon.import(join(bench.images, 'docker', 'app.tar'), 'app');
  };
  const api = async (): Promise<Contender> => {
    await start();
    return { name: API, run: async () => each(daemon.bulk(image, count, atOnce), count), close: () => daemon.stop() };
  };
  const processes = async (): Promise<Contender> => {
    await start();
    return {
      name: CTR,
      run: async () => {
        const targets = Array.from({ length: FEW }, (_, index) => join(daemon.mounts, `${index}`));
        for (const target of targets) mkdirSync(target, { recursive: true });
        const [made] = await inParallel(FEW, 1, async (index) => daemon.ctr('images', 'mount', '--rw', image, targets[index] as string));
        const [gone] = await inParallel(FEW, 1, async (index) => daemon.ctr('images', 'unmount', '--rm', targets[index] as string));
        return ((made + gone) / FEW) * 1e6;
      },
      close: () => daemon.stop(),
    };
  };
  return [...(wanted.has(API) ? [api] : []), ...(wanted.has(CTR) ? [processes] : [])];
}

async function podman(bench: Bench): Promise<Contender> {
  if (!installed('podman')) return absent(REST, 'podman');
  const service = new Podman(join(bench.disk.directory, 'podman'));
  const image = service.load(join(bench.images, 'docker', 'app.tar'));
  await service.startService();
  return {
    name: REST,
    run: async () => {
      const [made] = await inParallel(FEW, 1, async (index) => {
        await service.create(`b${index}`, image);
        await service.mount(`b${index}`);
      });
      const [gone] = await inParallel(FEW, 1, (index) => service.remove(`b${index}`));
      return ((made + gone) / FEW) * 1e6;
    },
    close: () => service.stopService(),
  };
}

/** Containers a round of those that take tens of milliseconds each. */
const FEW = 20;

function absent(name: string, what: string): Contender {
  return { name, missing: `${what} is not installed`, run: () => Promise.reject(new Error(`${what} is not installed`)) };
}

function each({ wall_s }: BulkResult, count: number): number {
  return ((wall_s.provision + wall_s.destroy) / count) * 1e6;
}

function phases({ wall_s }: BulkResult, count: number): string {
  const us = (seconds: number): string => `${((seconds / count) * 1e6).toFixed(0)} µs`;
  return `provision ${us(wall_s.provision)}, destroy ${us(wall_s.destroy)} a container`;
}
