// Runs the tests as compiled. Arguments go to vitest: `npm test -- test/cli` runs the files whose path holds that text.
// As root everything happens in a mount namespace of its own, so that no mount can outlive or leave the run.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { repository, run, tool } from './run.mjs';

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

const cwd = reachableForAll(repository) ? repository : bindWhereAllCanReach();
run(process.execPath, ['scripts/build.mjs', 'tests'], { cwd });
run(tool('vitest'), ['run', ...process.argv.slice(2)], { cwd });

/** Some tests run programs of the repository as another user, who cannot come below /root, or below what mktemp made. */
function bindWhereAllCanReach() {
  if (process.env[INSIDE] === undefined) return repository;
  const view = mkdtempSync(join(tmpdir(), 'rootwright-view-'));
  chmodSync(view, 0o755);
  run('mount', ['--bind', repository, view]);
  process.once('exit', () => {
    spawnSync('umount', ['--lazy', view]);
    rmdirSync(view);
  });
  return view;
}

function reachableForAll(path) {
  return (statSync(path).mode & 0o005) === 0o005 && (dirname(path) === path || reachableForAll(dirname(path)));
}

function warn(text) {
  console.error(`\n*** ${text}\n`);
}
