// After `npm install` changed package-lock.json: `node scripts/complete-lockfiles.mjs`. Makes locks/package-lock.node22.json from it, and
// adds to both what a registry that lacks some platforms' packages made npm leave out: without an entry for each optional dependency
// `npm ci` refuses the lockfile. Such an entry is never installed on the platforms of this project, since its `os` or `cpu` differs.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository, run } from './run.mjs';

const OTHER_NODE = 24;

complete('package-lock.json');
makeOtherLockfile();
complete('locks/package-lock.node22.json');

/** The same versions but for the packages that have one major for Node 20 and one for newer ones. */
function makeOtherLockfile() {
  const directory = mkdtempSync(join(tmpdir(), 'rootwright-lock-'));
  try {
    for (const name of ['package.json', 'package-lock.json']) cpSync(join(repository, name), join(directory, name));
    const npm = ['npm', 'update', 'better-sqlite3', 'execa', '--package-lock-only', '--ignore-scripts'];
    run('npx', ['--yes', '-p', `node@${OTHER_NODE}`, '--', ...npm], { cwd: directory });
    cpSync(join(directory, 'package-lock.json'), join(repository, 'locks/package-lock.node22.json'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function complete(name) {
  const path = join(repository, name);
  const lockfile = JSON.parse(readFileSync(path, 'utf8'));
  for (const [dependent, { optionalDependencies = {}, dev }] of Object.entries(lockfile.packages))
    for (const [dependency, version] of Object.entries(optionalDependencies)) {
      const places = [`${dependent}/node_modules/${dependency}`, `node_modules/${dependency}`];
      if (dependent === '' || places.some((place) => lockfile.packages[place] !== undefined)) continue;
      lockfile.packages[places[1]] = { version, ...platformOf(dependency), ...(dev ? { dev } : {}), optional: true };
    }
  const sorted = Object.entries(lockfile.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(path, `${JSON.stringify({ ...lockfile, packages: Object.fromEntries(sorted) }, undefined, 2)}\n`);
}

/** `@scope/cli-linux-arm64-musl` is for linux, arm64 and musl. */
function platformOf(name) {
  const [, os, cpu, abi = ''] = /(android|darwin|freebsd|linux|openharmony|win32)-([a-z0-9]+)(?:-([a-z]+))?$/.exec(name) ?? [];
  if (os === undefined) throw new Error(`${name}: no platform in the name; add its entry to the lockfile by hand`);
  const libc = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' }[os === 'linux' ? abi : ''];
  return { os: [os], cpu: [cpu], ...(libc === undefined ? {} : { libc: [libc] }) };
}
