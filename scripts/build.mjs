// Compiles src/ to dist/. With `tests` it compiles everything to build/ instead, where vitest runs it.
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repository, run, tool } from './run.mjs';

if (process.argv[2] === 'tests') {
  const out = process.env['BUILD'] ?? 'build';
  // Compiled files only: test images lie in build/ too, and are kept between runs.
  for (const directory of ['src', 'test', 'bench', 'examples']) rmSync(join(repository, out, directory), { recursive: true, force: true });
  run(tool('tsc'), ['-p', 'tsconfig.json', '--outDir', out]);
} else {
  rmSync(join(repository, 'dist'), { recursive: true, force: true });
  run(tool('tsc'), ['-p', 'tsconfig.build.json']);
  chmodSync(join(repository, 'dist/cli/main.js'), 0o755);
}
