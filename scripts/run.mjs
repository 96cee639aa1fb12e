import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's directory. */
export const repository = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a program with our own stdin, stdout and stderr; ends this process with the program's status unless that is 0. */
export function run(file, args, options = {}) {
  const { status, signal, error } = spawnSync(file, args, { stdio: 'inherit', cwd: repository, ...options });
  if (error) throw error;
  if (signal) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

/** Runs npm under this very Node, whichever `npm` lies first on PATH. */
export function runNpm(args, options = {}) {
  const npm = process.env['npm_execpath'];
  if (npm?.endsWith('.js')) run(process.execPath, [npm, ...args], options);
  else run('npm', args, options);
}

/** The path of a program that a development dependency brings. */
export const tool = (name) => join(repository, 'node_modules', '.bin', name);
