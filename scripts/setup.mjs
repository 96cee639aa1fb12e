// Installs the dependencies where node_modules does not hold what package-lock.json says, or was built for another Node.
// Runs with Node alone: nothing is installed yet when it starts.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository, runNpm } from './run.mjs';

const lockfile = readFileSync(join(repository, 'package-lock.json'));
const modules = join(repository, 'node_modules');
/** Says for which lockfile and which Node the modules were found good. */
const stampPath = join(modules, '.rootwright-setup');
const stamp = `${createHash('sha256').update(lockfile).digest('hex')} node ABI ${process.versions.modules} ${process.arch}\n`;

checkNode();
if (!existsSync(stampPath) || readFileSync(stampPath, 'utf8') !== stamp) {
  if (!installedAsLocked() || !nativeModuleLoads()) install();
  writeFileSync(stampPath, stamp);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`rootwright needs Node 20.19 or newer, this is ${process.version}`);
  process.exit(1);
}

function install() {
  console.error('setup: installing dependencies (npm ci); a native module may be compiled, which takes about a minute');
  runNpm(['ci', '--no-audit', '--no-fund'], { stdio: ['ignore', 2, 2] });
  if (nativeModuleLoads()) return;
  console.error(
    `setup: better-sqlite3 does not load on Node ${process.versions.node}. Where no ready-made binary fits, npm compiles it: ` +
      'it needs g++, make and python3. On Node 22 or newer locks/package-lock.node22.json, put in place of package-lock.json, needs no compiler.',
  );
  process.exit(1);
}

/** Every package that the lockfile names is there in that version; optional ones may be absent. */
function installedAsLocked() {
  return Object.entries(JSON.parse(lockfile.toString()).packages).every(([path, locked]) => {
    if (path === '' || locked.link) return true;
    const manifest = join(repository, path, 'package.json');
    if (!existsSync(manifest)) return locked.optional === true || locked.devOptional === true || locked.peer === true;
    return JSON.parse(readFileSync(manifest, 'utf8')).version === locked.version;
  });
}

/** In a process of its own: better-sqlite3 of the wrong major does not fail on some versions of Node, it crashes. */
function nativeModuleLoads() {
  const probe = "new (require('better-sqlite3'))(':memory:').close()";
  return spawnSync(process.execPath, ['-e', probe], { cwd: repository, stdio: 'ignore' }).status === 0;
}
