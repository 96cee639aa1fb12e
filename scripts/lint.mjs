// What must be clean before a commit: types, lint, format, and what nothing uses. Runs all of them, then fails if one did.
import { spawnSync } from 'node:child_process';
import { repository, tool } from './run.mjs';

const checks = [['tsc', '-p', 'tsconfig.json', '--noEmit'], ['oxlint', '--type-aware'], ['biome', 'format'], ['knip']];

const failed = checks.filter(([name, ...args]) => {
  console.error(`> ${[name, ...args].join(' ')}`);
  return spawnSync(tool(name), args, { cwd: repository, stdio: 'inherit' }).status !== 0;
});
if (failed.length > 0) {
  console.error(`failed: ${failed.map(([name]) => name).join(', ')}`);
  process.exit(1);
}
