import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Disk, type DiskKind } from './disk.ts';
import { copyApp } from './experiments/copy.ts';
import { dispatchRoundTrip } from './experiments/dispatch.ts';
import { listContainers } from './experiments/list.ts';
import { provisionMany, provisionSerial } from './experiments/provision.ts';
import { memory, recoverKnown } from './experiments/recover.ts';
import { unpackApp, unpackWide } from './experiments/unpack.ts';
import { median, type Bench, type Contender, type Experiment, type Row } from './experiment.ts';
import { quiet } from './quiet.ts';
import { buildPrograms, versionOf } from './programs.ts';
import { tableLine, updateDocument, type Result } from './report.ts';

const USAGE = `Measures rootwright and its peers side by side and writes the table of docs/benchmarks.md.

usage: npm run bench -- [--only ROW]... [options]

  --only ROW        a row or an experiment (--list names them); may be given several times
  --images DIR      the directory that make-images.sh filled (default: ROOTWRIGHT_IMAGES, else build/images)
  --work DIR        where the disk image is made, about 8 GiB (default: a directory of its own in $TMPDIR or /tmp)
  --fs ext4|dir     a fresh ext4 on a loop device (default), or a directory of the disk as it is
  --rounds N        timed rounds instead of each experiment's own number
  --json FILE       every single figure, one JSON object a line
  --no-write        leaves docs/benchmarks.md as it is
  --list            names the rows
`;

const EXPERIMENTS: readonly Experiment[] = [
  provisionSerial,
  provisionMany,
  unpackApp,
  unpackWide,
  copyApp,
  recoverKnown,
  dispatchRoundTrip,
  listContainers,
  memory,
];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    images: { type: 'string' },
    work: { type: 'string' },
    fs: { type: 'string', default: 'ext4' },
    rounds: { type: 'string' },
    json: { type: 'string' },
    'no-write': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** Set once this process runs in namespaces of its own. */
const work = process.env['ROOTWRIGHT_BENCH_WORK'];

if (options.help) process.stdout.write(USAGE);
else if (options.list) for (const { name, rows } of EXPERIMENTS) print(`${name}: ${rows.map((row) => row.name).join(', ')}`);
else if (work === undefined) process.exitCode = enterNamespaces();
else await main(work);

/** Mounts, loop devices and daemons end with the namespaces, whatever happens; the files go here. */
function enterNamespaces(): number {
  if (process.getuid?.() !== 0) throw new Error('run as root: this mounts file systems');
  process.on('SIGINT', () => undefined); // the child hears it too, ends, and this process cleans up
  const parent = resolve(options.work ?? tmpdir());
  mkdirSync(parent, { recursive: true });
  const work = realpathSync(mkdtempSync(join(parent, 'rwb-')));
  const unshare = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const result = spawnSync('unshare', [...unshare, process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, ROOTWRIGHT_BENCH_WORK: work },
  });
  rmSync(work, { recursive: true, force: true });
  return result.status ?? 1;
}

async function main(work: string): Promise<void> {
  const repository = repositoryRoot();
  // podman keeps its 2,048 locks there, and forgets to give them back with its storage.
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/dev/shm']);
  const images = resolve(options.images ?? process.env['ROOTWRIGHT_IMAGES'] ?? join(repository, 'build', 'images'));
  if (!existsSync(join(images, 'oci', 'app', 'index.json')))
    throw new Error(`no images in ${images}; make-images.sh makes them, --images names the directory`);
  const disk = new Disk(work, options.fs as DiskKind);
  const bench: Bench = { disk, images, programs: buildPrograms(repository), log: print };
  print(machine(disk));
  const lines: string[] = [];
  try {
    for (const experiment of chosen()) lines.push(...(await perform(experiment, bench)));
  } finally {
    disk.clear();
  }
  if (!options['no-write']) updateDocument(join(repository, 'docs', 'benchmarks.md'), lines);
}

function chosen(): Experiment[] {
  const names = new Set(options.only);
  if (names.size === 0) return [...EXPERIMENTS];
  const picked = EXPERIMENTS.map((experiment) => ({
    ...experiment,
    rows: names.has(experiment.name) ? experiment.rows : experiment.rows.filter((row) => names.has(row.name)),
  })).filter(({ rows }) => rows.length > 0);
  if (picked.length === 0) throw new Error(`no such row: ${[...names].join(', ')}; --list names them`);
  return picked;
}

/** One experiment on a fresh disk; the lines of its rows. */
async function perform(experiment: Experiment, bench: Bench): Promise<string[]> {
  print(`\n${experiment.name}`);
  bench.disk.fresh();
  const wanted = new Set(experiment.rows.flatMap(({ theirs }) => (theirs === undefined ? [] : [theirs])));
  const contenders = await experiment.prepare(bench, wanted);
  try {
    const figures = await race(contenders, Number(options.rounds ?? experiment.rounds), bench);
    for (const contender of contenders) for (const note of contender.notes?.() ?? []) print(`  note: ${note}`);
    return experiment.rows.map((row) => {
      const line = tableLine(toResult(row, contenders, figures));
      print(line);
      return line;
    });
  } finally {
    for (const contender of contenders) await contender.close?.();
    bench.disk.clear();
  }
}

/** A round that does not count, then the timed ones; every contender once in each, in turns. */
async function race(contenders: readonly Contender[], rounds: number, { disk }: Bench): Promise<Map<string, number[]>> {
  const noises: number[] = [];
  const figures = new Map<string, number[]>(contenders.filter(({ missing }) => missing === undefined).map(({ name }) => [name, []]));
  for (let round = rounds > 1 ? 0 : 1; round <= rounds; round++) {
    for (const contender of contenders) {
      const values = figures.get(contender.name);
      if (values === undefined) continue;
      disk.settle();
      const noise = await quiet();
      noises.push(noise);
      const value = await contender.run();
      if (round > 0) values.push(value);
      if (options.json !== undefined)
        writeFileSync(options.json, `${JSON.stringify({ contender: contender.name, round, value, noise: Number(noise.toFixed(2)) })}\n`, {
          flag: 'a',
        });
    }
  }
  for (const [name, values] of figures)
    print(`  ${name}: median ${median(values).toPrecision(4)}, of ${values.map((v) => v.toPrecision(4)).join(' ')}`);
  return figures;
}

function toResult(row: Row, contenders: readonly Contender[], figures: ReadonlyMap<string, number[]>): Result {
  const ours = figures.get(row.ours ?? 'rootwright') ?? [];
  if (row.theirs === undefined) return { row, ours };
  const theirs = figures.get(row.theirs);
  const missing = contenders.find(({ name }) => name === row.theirs)?.missing;
  return { row, ours, ...(theirs === undefined ? {} : { theirs }), ...(missing === undefined ? {} : { missing }) };
}

/** What the figures depend on. */
function machine(disk: Disk): string {
  const tools = [
    ['node', process.version],
    ['kernel', release()],
    ['containerd', versionOf('containerd').split(' ')[2] ?? ''],
    ['podman', versionOf('podman').split(' ')[2] ?? ''],
    ['tar', versionOf('tar')],
    ['gzip', versionOf('gzip')],
  ];
  const present = tools.map(([name, version]) => `${name} ${version === '' ? 'not installed' : version}`).join(', ');
  const processors = cpus();
  return `${processors.length} × ${processors[0]?.model}, ${(totalmem() / 1e9).toFixed(0)} GB, ${disk.description}; ${present}; ${commit()}; command: npm run bench -- ${process.argv.slice(2).join(' ')}`;
}

function commit(): string {
  try {
    return `rootwright ${execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()}`;
  } catch {
    return 'rootwright without a git checkout';
  }
}

function repositoryRoot(): string {
  for (let directory = import.meta.dirname; directory !== dirname(directory); directory = dirname(directory)) {
    const manifest = join(directory, 'package.json');
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'rootwright') return directory;
  }
  throw new Error('no package.json of rootwright above this file');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
