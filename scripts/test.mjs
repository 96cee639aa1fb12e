// Runs the tests as compiled. Arguments go to vitest: `npm test -- test/cli` runs the files whose path holds that text.
// As root everything happens in a mount namespace of its own, so that no mount can outlive or leave the run.
import { spawnSync } from 'node:child_process';
import { run, tool } from './run.mjs';

const INSIDE = 'ROOTWRIGHT_TEST_NAMESPACE';
const unshare = ['--mount', '--propagation', 'private', '--'];

if (process.getuid() !== 0) {
  warn('not root: every test that mounts, makes devices or sets trusted attributes is SKIPPED; run as root for the whole suite');
} else if (process.env[INSIDE] === undefined && process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] === undefined) {
  const probe = spawnSync('unshare', [...unshare, 'true'], { encoding: 'utf8' });
  if (probe.status === 0) {
    run('unshare', [...unshare, process.execPath, ...process.argv.slice(1)], { env: { ...process.env, [INSIDE]: '1' } });
    process.exit(0);
  }
  warn(`root, but no mount namespace can be made (${(probe.error?.message ?? probe.stderr).trim()}): tests that need root are SKIPPED`);
  process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] = 'no mount namespace can be made here';
}

run(process.execPath, ['scripts/build.mjs', 'tests']);
run(tool('vitest'), ['run', ...process.argv.slice(2)]);

function warn(text) {
  console.error(`\n*** ${text}\n`);
}
