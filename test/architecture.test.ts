import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../src/errors.ts';
import { LIMITS } from '../src/limits.ts';
import { METRICS } from '../src/metrics.ts';
import { filesBelow, repository } from './support/repository.ts';

/** What the files of each place may import of ours, besides files of the same place. 'base' is errors.ts, limits.ts, logging.ts and metrics.ts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  linux: [],
  paths: ['base'],
  backends: ['base', 'linux', 'paths'],
  stores: ['base', 'linux', 'paths'],
  'actors/runtime': ['base'],
  actors: ['base', 'linux', 'paths', 'backends', 'stores', 'actors/runtime'],
  index: ['base', 'linux', 'paths', 'backends', 'stores', 'actors', 'actors/runtime'],
  cli: ['base', 'linux', 'paths', 'backends', 'stores', 'actors', 'index'],
};

/** Files at the top of src/ that everything but linux/ may use. */
const BASE = ['src/errors.ts', 'src/limits.ts', 'src/logging.ts', 'src/metrics.ts'];

const sources = filesBelow('src', '.ts').map((path) => ({ path, text: readFileSync(join(repository, path), 'utf8') }));

describe('the house', () => {
  it('imports run one way', () => {
    const wrong = sources.flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => name.startsWith('.'))
        .map((name) => normalize(join(dirname(path), name)))
        .filter((target) => placeOf(target) !== placeOf(path) && !MAY_IMPORT[placeOf(path)]?.includes(placeOf(target)))
        .map((target) => `${path} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('every place is known', () => {
    expect([...new Set(sources.map(({ path }) => placeOf(path)))].toSorted()).toEqual(Object.keys(MAY_IMPORT).toSorted());
  });

  it('only linux/ starts programs, calls the system and knows /proc', () => {
    const wrong = sources
      .filter(({ path }) => !path.startsWith('src/linux/'))
      .flatMap(({ path, text }) => {
        const code = withoutComments(text);
        return [
          ...importsOf(text).filter((name) => ['execa', 'koffi', 'node:child_process', 'child_process'].includes(name)),
          ...(/['"`]\/proc\//.exec(code) ?? []),
          ...(/['"`](u?mount|mountpoint|findmnt|\/usr\/bin\/u?mount|\/bin\/u?mount)['"`],\s*\[/.exec(code) ?? []),
        ].map((found) => `${path}: ${found}`);
      });
    expect(wrong).toEqual([]);
  });

  it('no source file has more than 350 lines', () => {
    expect(sources.filter(({ text }) => text.split('\n').length - 1 > 350).map(({ path }) => path)).toEqual([]);
  });

  it('commands that only read start without the engine', () => {
    // What `list` and `--help` load before they answer, followed through static imports.
    const loaded = closureOf(['src/cli/main.ts', 'src/actors/read-containers.ts']);
    const packages = [...loaded]
      .flatMap((path) => staticImportsOf(textOf(path)))
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:'));
    expect([...new Set(packages)]).toEqual(['commander']);
  });
});

describe('the documentation', () => {
  it('explains every error code', () => {
    const documented = [...readDoc('reference/errors.md').matchAll(/^### `([A-Z_]+)`$/gm)].map(([, code]) => code);
    expect(documented).toEqual([...ERROR_CODES]);
  });

  it('names every limit with its value', () => {
    const documented = Object.fromEntries(
      [...readDoc('reference/limits.md').matchAll(/^\| `(\w+)` \| ([\d ]+) \|/gm)].map(([, name, value = '']) => [
        name,
        Number(value.replaceAll(' ', '')),
      ]),
    );
    expect(documented).toEqual({ ...LIMITS });
  });

  it('lists every metric with its kind and labels', () => {
    const documented = [...readDoc('reference/metrics.md').matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*) ?\|/gm)].map(([, name, kind, labels = '']) => [
      name,
      { kind, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label) },
    ]);
    const existing = Object.entries(METRICS).map(([name, { kind, labels }]) => [name, { kind, labels: [...labels] }]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(existing));
  });

  it('has no dead link between its files', () => {
    const documents = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...filesBelow('docs', '.md')];
    const files = new Set(['', 'bench', 'docs', 'examples', 'src', 'test', 'scripts'].flatMap((directory) => listing(directory)));
    const dead = documents.flatMap((document) =>
      [...readFileSync(join(repository, document), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
        .map(([, link = '']) => normalize(join(dirname(document), link)).replace(/\/$/, ''))
        .filter((target) => !files.has(target))
        .map((target) => `${document} links to ${target}`),
    );
    expect(dead).toEqual([]);
  });
});

function placeOf(path: string): string {
  if (BASE.includes(path)) return 'base';
  const [, top = '', second] = path.split('/');
  if (top.endsWith('.ts')) return 'index';
  return top === 'actors' && second === 'runtime' ? 'actors/runtime' : top;
}

/** Everything that a file imports: at load or later, values and types. */
function importsOf(text: string): string[] {
  return [/^(?:import|export) (?:[^;]*? from )?'([^']+)';$/gms, /\bimport\('([^']+)'\)/g].flatMap((pattern) =>
    [...text.matchAll(pattern)].map(([, name = '']) => name),
  );
}

/** Imports that are carried out when the file is loaded; those of types are not. */
function staticImportsOf(text: string): string[] {
  return [...text.matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?'([^']+)';$/gms)].map(([, name = '']) => name);
}

function closureOf(paths: readonly string[], seen = new Set<string>()): Set<string> {
  for (const path of paths) {
    if (seen.has(path)) continue;
    seen.add(path);
    const imported = staticImportsOf(textOf(path)).filter((name) => name.startsWith('.'));
    closureOf(
      imported.map((name) => normalize(join(dirname(path), name))),
      seen,
    );
  }
  return seen;
}

function textOf(path: string): string {
  return readFileSync(join(repository, path), 'utf8');
}

function readDoc(path: string): string {
  return readFileSync(join(repository, 'docs', path), 'utf8');
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

function listing(directory: string): string[] {
  const entries = readdirSync(join(repository, directory), { recursive: directory !== '', withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath, entry.name).slice(repository.length + 1));
}
