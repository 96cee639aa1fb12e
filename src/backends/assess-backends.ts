import { lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Kernel } from '../linux/kernel.ts';
import type { BackendName } from './backend.ts';
import type { OnSwallowed } from './backend-options.ts';
import { reasonOf } from './directories.ts';
import { probeMounting, probeOverlay, type Finding } from './overlay-probe.ts';

/** One line of the decision: whether what one backend needs is there. A backend can be used where all its lines are ok. */
export interface BackendAssessment {
  readonly backend: BackendName;
  readonly requirement: Requirement;
  readonly ok: boolean;
  /** For people; says why, or why not. */
  readonly why: string;
  /** The directory that was looked at, where the requirement is about one. */
  readonly path?: string;
}

/** `root`: may mount. `kernel`: has the file system type. `filesystem`: layers can lie on that of `path`. `d_type` and `xattr`: whiteouts work there. */
export type Requirement = 'root' | 'kernel' | 'filesystem' | 'd_type' | 'xattr' | 'nothing';

export interface AssessOptions {
  readonly kernel: Kernel;
  /** Where the writable layers will be. What does not exist yet is judged by its nearest directory that does. */
  readonly provisionerDir: string;
  /** Where layers are kept. Mesos looks at the provisioner's directory only. */
  readonly storeDirs: readonly string[];
  readonly onSwallowed?: OnSwallowed;
}

/**
 * Finds out what each backend needs and whether it is there, in the order overlay, aufs, bind, copy.
 *
 * Mesos has a table of file systems that overlay refuses. Kernels have moved on (btrfs, zfs), so the truth here is a throw-away mount in a
 * private directory, once for each file system involved; the table answers only where nothing can be mounted, and for aufs.
 * Takes a few milliseconds. Fails with a system error only where `provisionerDir` can't be looked at.
 */
export async function assessBackends(options: AssessOptions): Promise<BackendAssessment[]> {
  const { kernel, onSwallowed } = options;
  const directories = options.storeDirs.concat(options.provisionerDir).map(nearestExisting);
  const provisionerDir = nearestExisting(options.provisionerDir);
  const known = await kernel.filesystems();
  const root = await mayMount(kernel, provisionerDir, onSwallowed);
  const paths = [...new Set([provisionerDir, ...directories])];
  const types = await Promise.all(paths.map(async (path) => ({ path, type: (await kernel.filesystemType(path)).name })));

  const overlay =
    root.ok && known.has('overlay')
      ? await probeAll(kernel, paths, onSwallowed)
      : types.map(({ path, type }) => row('overlay', 'filesystem', byTable('overlay', type), path));
  return [
    row('overlay', 'root', root),
    row('overlay', 'kernel', has(known, 'overlay')),
    ...overlay,
    row('aufs', 'root', root),
    row('aufs', 'kernel', has(known, 'aufs')),
    ...types.map(({ path, type }) => row('aufs', 'filesystem', byTable('aufs', type), path)),
    row('bind', 'root', root),
    row('copy', 'nothing', { ok: true, why: 'only room on the disk' }),
  ];
}

/** mesos.md 0: the file systems on which Mesos refuses a backend. */
const REFUSED: Readonly<Record<'overlay' | 'aufs', readonly string[]>> = {
  overlay: ['aufs', 'btrfs', 'ecryptfs', 'zfs', 'overlay'],
  aufs: ['aufs', 'btrfs', 'ecryptfs'],
};

async function mayMount(kernel: Kernel, directory: string, onSwallowed?: OnSwallowed): Promise<Finding> {
  try {
    return await probeMounting(kernel, directory, onSwallowed);
  } catch (error) {
    return { ok: false, why: `mounting could not be tried: ${reasonOf(error)}` };
  }
}

/** The first path is where upper directories will be. One probe tells for all paths of its file system. */
async function probeAll(kernel: Kernel, paths: readonly string[], onSwallowed?: OnSwallowed): Promise<BackendAssessment[]> {
  const rows: BackendAssessment[] = [];
  const probed = new Set<number>();
  for (const [index, path] of paths.entries()) {
    const device = statSync(path).dev;
    if (probed.has(device)) continue;
    probed.add(device);
    rows.push(...(await probeOne(kernel, path, index === 0 ? 'upper' : 'lower', onSwallowed)));
  }
  return rows;
}

async function probeOne(kernel: Kernel, path: string, role: 'upper' | 'lower', onSwallowed?: OnSwallowed): Promise<BackendAssessment[]> {
  const type = (await kernel.filesystemType(path)).name;
  try {
    const { mount, whiteouts, opaque } = await probeOverlay(kernel, path, role, onSwallowed);
    return [
      ...(mount === undefined ? [] : [row('overlay', 'filesystem', { ok: mount.ok, why: `${type}: ${mount.why}` }, path)]),
      ...(whiteouts === undefined ? [] : [row('overlay', 'd_type', whiteouts, path)]),
      ...(opaque === undefined ? [] : [row('overlay', 'xattr', opaque, path)]),
    ];
  } catch (error) {
    return [row('overlay', 'filesystem', { ok: false, why: `${type}: it could not be tried: ${reasonOf(error)}` }, path)];
  }
}

function byTable(backend: 'overlay' | 'aufs', type: string): Finding {
  if (REFUSED[backend].includes(type)) return { ok: false, why: `${backend} is not known to work on ${type}` };
  return { ok: true, why: `${type} is not known to refuse ${backend}; not tried` };
}

function has(known: ReadonlySet<string>, type: string): Finding {
  return known.has(type)
    ? { ok: true, why: `the kernel has ${type}` }
    : { ok: false, why: `the kernel has no ${type} (/proc/filesystems); try modprobe ${type}` };
}

function row(backend: BackendName, requirement: Requirement, { ok, why }: Finding, path?: string): BackendAssessment {
  return { backend, requirement, ok, why, ...(path !== undefined && { path }) };
}

function nearestExisting(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined && dirname(path) !== path ? nearestExisting(dirname(path)) : path;
}
