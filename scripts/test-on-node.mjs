// Runs the tests under another version of Node: `npm run test:node -- 24`. The tracked files are copied to a temporary directory, so that
// this checkout's node_modules, which are bound to this Node, stay as they are.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { repository, run } from './run.mjs';

const [version, ...vitestArguments] = process.argv.slice(2);
if (version === undefined || !/^\d+(\.\d+){0,2}$/.test(version)) {
  console.error('usage: npm run test:node -- VERSION [vitest arguments]      for example: npm run test:node -- 24');
  process.exit(2);
}

const copy = mkdtempSync(join(tmpdir(), `rootwright-node${version}-`));
chmodSync(copy, 0o755); // some tests run as another user
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.once('exit', () => rmSync(copy, { recursive: true, force: true }));

copyTrackedFiles();
// better-sqlite3 13 crashes on Node 20 and 12 has to be compiled for each other version, so each side has its lockfile.
if (Number.parseInt(version, 10) >= 22) cpSync(join(copy, 'locks/package-lock.node22.json'), join(copy, 'package-lock.json'));

const env = { ...process.env, ROOTWRIGHT_IMAGES: process.env['ROOTWRIGHT_IMAGES'] ?? join(repository, 'build/images') };
// npm tells its children where it and its Node are; the other Node must find its own.
for (const name of Object.keys(env)) if (name.startsWith('npm_') || name === 'NODE') delete env[name];
run('npx', ['--yes', '-p', `node@${version}`, '--', 'node', 'scripts/test-this-node.mjs', version, ...vitestArguments], { cwd: copy, env });

function copyTrackedFiles() {
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: repository, encoding: 'utf8' });
  for (const file of files.split('\0').filter((name) => name !== '')) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(repository, file), join(copy, file), { verbatimSymlinks: true });
  }
}
