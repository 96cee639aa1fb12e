import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { filesBelow, repository } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

it('the demo image is what its maker makes, byte for byte', () => {
  const made = temporaryDirectory('demo');
  execFileSync(process.execPath, [join(repository, 'examples/demo/make-image.mjs'), made]);
  const kept = filesBelow('examples/demo/image', '').map((path) => path.slice('examples/demo/image/'.length));
  const found = readdirSync(made, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(found.map((entry) => join(entry.parentPath, entry.name).slice(made.length + 1)).toSorted()).toEqual(kept);
  for (const path of kept)
    expect(readFileSync(join(made, path)).equals(readFileSync(join(repository, 'examples/demo/image', path))), path).toBe(true);
});

it('the demo shows the tree, what is hidden and why, and that nothing is left', () => {
  const temporary = join(temporaryDirectory('demo'), 'tmp');
  mkdirSync(temporary);
  const output = execFileSync(process.execPath, ['--import', compiledPackage(), join(repository, 'examples/demo/demo.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: temporary },
  });
  expect(output).toMatch(/^image +examples\/demo\/image: 4 layers, 26 entries$/m);
  expect(output).toMatch(/^backend +(overlay|copy): /m);
  expect(output).toMatch(/├── greet {2}\(2 names for inode \d+\)$/m);
  expect(output).toContain('bin -> usr/bin\n');
  expect(output).toContain('usr/share/doc/LICENSE  (whiteout usr/share/doc/.wh.LICENSE of layer 2)\n');
  expect(output).toContain('var/cache/index, var/cache/old, var/cache/old/entry  (opaque directory var/cache/.wh..wh..opq of layer 3)\n');
  expect(output).toContain('"port=8080"');
  expect(output).toMatch(/^left +no mount, no container directory\n$/m);
  expect(readdirSync(temporary)).toEqual([]);
});

/** A module that lets `import 'rootwright'` mean what the tests are compiled from, not what dist/ happens to hold. */
function compiledPackage(): string {
  const entry = pathToFileURL(join(import.meta.dirname, '../src/index.js')).href;
  const hooks = `export const resolve = (name, context, next) => name === 'rootwright' ? { url: '${entry}', shortCircuit: true } : next(name, context);`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(asUrl(hooks))});`;
  return asUrl(register);
}

function asUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}
