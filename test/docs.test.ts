import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandLine } from '../src/cli/command-line.ts';
import { EXIT, EXIT_CODE_OF } from '../src/cli/exit-codes.ts';
import { createProgram } from '../src/cli/program.ts';
import { filesBelow, repository } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

const documents = ['README.md', ...filesBelow('docs', '.md')];

describe('the examples in the documentation', () => {
  it('TypeScript compiles as strictly as we do', () => {
    const directory = temporaryDirectory('snippets');
    const snippets = documents.flatMap((document) =>
      blocksOf(document, 'ts')
        .filter((code) => code.includes("from 'rootwright'"))
        .map((code, index) => ({ name: `${document}-${index}.ts`, code })),
    );
    expect(snippets.length).toBeGreaterThan(3);
    for (const { name, code } of snippets) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), code);
    }
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(directory, 'tsconfig.json'),
      JSON.stringify({
        extends: join(repository, 'tsconfig.json'),
        compilerOptions: {
          noEmit: true,
          rootDir: '/',
          allowImportingTsExtensions: true,
          noUnusedLocals: false,
          typeRoots: [join(repository, 'node_modules/@types')],
          paths: { rootwright: [join(repository, 'src/index.ts')] },
        },
        include: ['**/*.ts'],
      }),
    );
    const { stdout } = spawnSync(join(repository, 'node_modules/.bin/tsc'), ['-p', directory], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });

  it('commands exist, with the options shown', () => {
    const lines = documents.flatMap((document) => blocksOf(document, 'console').flatMap((block) => block.split('\n')));
    const commands = lines.flatMap((line) => [...line.matchAll(/(?:^\$|\|) rootwright ([^|#&;\n]*)/g)].map(([, rest = '']) => rest));
    expect(commands.length).toBeGreaterThan(15);
    for (const command of commands) expect(() => parseOnly(command.trim().split(/\s+/)), command).not.toThrow();
  });

  it('npm scripts exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    const texts = [...documents, 'CONTRIBUTING.md'].map((document) => readFileSync(join(repository, document), 'utf8')).join('\n');
    const named = [...texts.matchAll(/\bnpm run ([a-z:]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe('the reference of the command line', () => {
  const program = createProgram(new CommandLine([]));
  const text = readFileSync(join(repository, 'docs/reference/cli.md'), 'utf8');

  it('has a section for every command, with all its options', () => {
    const missing = program.commands.flatMap((command) => {
      const section = new RegExp(`^## ${command.name()}$(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(text)?.[1];
      if (section === undefined) return [command.name()];
      return command.options.filter(({ long }) => !section.includes(long ?? '')).map(({ long }) => `${command.name()} ${long}`);
    });
    expect(missing).toEqual([]);
  });

  it('has every option that all commands take', () => {
    expect(program.options.filter(({ long }) => !text.includes(`| \`${long}`)).map(({ long }) => long)).toEqual([]);
  });

  it('has every exit status', () => {
    const section = /^## Exit status$(.*?)^## /ms.exec(text)?.[1] ?? '';
    const documented = [...section.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, numbers = '']) => numbers.split(', ').map(Number));
    expect(documented).toEqual(Object.values(EXIT));
  });

  it('agrees with the reference of errors on the status of every code', () => {
    const errors = readFileSync(join(repository, 'docs/reference/errors.md'), 'utf8');
    const rows = [...errors.matchAll(/^\| (\d+) [^|]+\| (.+) \|$/gm)];
    const documented = rows.flatMap(([, status, codes = '']) => [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(status)] as const));
    expect(Object.fromEntries(documented)).toEqual({ ...EXIT_CODE_OF });
  });
});

describe('docs/conformance.md', () => {
  const rows = readFileSync(join(repository, 'docs/conformance.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && line.includes('](../test/'));

  it('has a row for every test of Mesos and every defect that it is about', () => {
    const ids = rows.flatMap((row) => /^\| ([A-Z]{1,2}\d+) \|/.exec(row)?.[1] ?? []);
    const ofMesos = [
      numbered('BK', 1, 6),
      ['PA1'],
      numbered('DS', 1, 6),
      numbered('PD', 6, 8),
      ['PD12'],
      numbered('AP', 4, 6),
      numbered('FS', 1, 8),
      ['CK1', 'RM1'],
      numbered('RW', 1, 5),
      numbered('MU', 1, 3),
      numbered('SQ', 1, 4),
      numbered('FU', 1, 5),
      ['CO1', 'CO2', 'ME1'],
    ].flat();
    expect(ids).toEqual([...ofMesos, ...numbered('R', 1, 15)]);
  });

  it('names tests that exist', () => {
    const named = rows.flatMap((row) =>
      [...row.matchAll(/\]\(\.\.\/(test\/[^)]+)\): (.+?)(?=<br>| \|$)/g)].map(([, file = '', title = '']) => ({ file, title })),
    );
    expect(named.length).toBeGreaterThan(100);
    const missing = named.filter(({ file, title }) => !readFileSync(join(repository, file), 'utf8').includes(title.replaceAll('&#124;', '|')));
    expect(missing).toEqual([]);
  });
});

function numbered(prefix: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${prefix}${first + index}`);
}

/** The fenced blocks of one language. */
function blocksOf(document: string, language: string): string[] {
  const text = readFileSync(join(repository, document), 'utf8');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code = '']) => code);
}

/** Parses a command line without running it. */
function parseOnly(args: readonly string[]): void {
  const fresh = createProgram(new CommandLine([]));
  for (const command of fresh.commands) command.action(() => undefined);
  fresh.parse(args, { from: 'user' });
}
