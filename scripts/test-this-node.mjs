// The far end of test-on-node.mjs: runs in the copy, under the version asked for.
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { repository, run } from './run.mjs';

const [version, ...vitestArguments] = process.argv.slice(2);
if (process.versions.node !== version && !process.versions.node.startsWith(`${version}.`)) {
  console.error(`asked for Node ${version}, this is ${process.versions.node}`);
  process.exit(1);
}
console.error(`testing on Node ${process.versions.node}`);

// npx keeps this Node below somebody's home; tests that run as another user need it where all can reach it.
const bin = join(repository, '.node');
mkdirSync(bin);
copyFileSync(process.execPath, join(bin, 'node'));
run('npm', ['test', '--', ...vitestArguments], { env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` } });
