import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { diffTrees, readTree, showDifference, type ContentCache, type Tree } from '../support/tree.ts';

/**
 * What lies below a root directory, found by walking the disk and reading the mount table: nothing of the engine is used here, so that its
 * own view of itself can't hide anything.
 */
export interface Inspection {
  /** Mount points below the root, in order of path, stacked ones each. */
  readonly mounts: readonly string[];
  /** Every name below provisioner/, but what lies in a rootfs. */
  readonly names: readonly string[];
  /** Rootfs path → its tree. */
  readonly rootfses: ReadonlyMap<string, Tree>;
}

/** Looks at the containers. */
export function inspectContainers(root: string, cache: ContentCache): Inspection {
  const provisioner = join(root, 'provisioner');
  const rootfses = new Map<string, Tree>();
  const names: string[] = [];
  walk(provisioner, (path, name) => {
    names.push(relative(provisioner, path));
    if (!/\/rootfses\/[^/]+$/.test(path)) return /^(upperdir|workdir|partial)$/.test(name) ? 'leave' : 'enter';
    rootfses.set(path, readTree(path, cache));
    return 'leave';
  });
  return { mounts: mountsBelow(root), names: names.toSorted(), rootfses };
}

/** What differs between two looks at the containers, for people; empty where nothing does. */
export function compareContainers(before: Inspection, after: Inspection): string[] {
  return [
    ...compareLists('mount', before.mounts, after.mounts),
    ...compareLists('name', before.names, after.names),
    ...[...before.rootfses].flatMap(([path, tree]) => {
      const now = after.rootfses.get(path);
      return now === undefined ? [] : diffTrees(tree, now).map((difference) => `${path}: ${showDifference(difference)}`);
    }),
  ];
}

/** What is wrong with the store: leftovers, damaged files, layers that differ from `pristine` (path below layers/ → tree). */
export function inspectStore(root: string, pristine: ReadonlyMap<string, Tree>, cache: ContentCache): string[] {
  const store = join(root, 'store', 'docker');
  const leftovers = ['staging', 'gc'].flatMap((name) => listNames(join(store, name)).map((entry) => `left over: ${name}/${entry}`));
  const temporaries = ['images', 'configs'].flatMap((name) => listNames(join(store, name)).filter((entry) => entry.endsWith('.tmp')));
  const configs = listNames(join(store, 'configs'))
    .filter(
      (digest) =>
        digest !==
        `sha256:${createHash('sha256')
          .update(readFileSync(join(store, 'configs', digest)))
          .digest('hex')}`,
    )
    .map((digest) => `configs/${digest} is not what its name says`);
  const layers = [...readLayers(root, cache)].flatMap(([path, tree]) => {
    const whole = pristine.get(path);
    if (whole === undefined) return [`layers/${path} is of no image`];
    return diffTrees(whole, tree).map((difference) => `layers/${path}: ${showDifference(difference)}`);
  });
  return [
    ...leftovers,
    ...temporaries.map((name) => `left over: ${name}`),
    ...configs,
    ...halfLayers(root),
    ...layers,
    ...listNames(join(root, 'quarantine')),
  ];
}

/** Every form of every layer in the store: `<diff id>/<form directory>` → its tree. */
export function readLayers(root: string, cache: ContentCache): Map<string, Tree> {
  const layers = join(root, 'store', 'docker', 'layers');
  return new Map(layerFiles(root).flatMap((path) => (path.endsWith('.json') ? [] : [[path, readTree(join(layers, path), cache)]])));
}

/** Beside the directory of each form lie the facts about it, `<form directory>.json`: one without the other is half a layer. */
function halfLayers(root: string): string[] {
  const files = new Set(layerFiles(root));
  return [...files]
    .filter((path) => !files.has(path.endsWith('.json') ? path.slice(0, -'.json'.length) : `${path}.json`))
    .map((path) => `half a layer: ${path}`);
}

/** `<diff id>/<form directory>` and `<diff id>/<form directory>.json` of all layers in the store. */
export function layerFiles(root: string): string[] {
  const layers = join(root, 'store', 'docker', 'layers');
  return listNames(layers).flatMap((id) => listNames(join(layers, id)).map((name) => `${id}/${name}`));
}

/** Processes that have `root` in their command line, as `pid command`. */
export function processesOf(root: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(root) ? [`${pid} ${command}`] : [];
      } catch {
        return []; // ended since
      }
    });
}

function mountsBelow(root: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((target) => target.startsWith(`${root}/`))
    .toSorted();
}

function compareLists(what: string, before: readonly string[], after: readonly string[]): string[] {
  const left = [...before];
  const added = after.filter((item) => {
    const at = left.indexOf(item);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return [...left.map((item) => `${what} gone: ${item}`), ...added.map((item) => `${what} left over: ${item}`)];
}

function walk(directory: string, visit: (path: string, name: string) => 'enter' | 'leave'): void {
  for (const name of listNames(directory)) {
    const path = join(directory, name);
    if (visit(path, name) === 'enter' && lstatSync(path).isDirectory()) walk(path, visit);
  }
}

/** Empty where there is no such directory. */
function listNames(directory: string): string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
