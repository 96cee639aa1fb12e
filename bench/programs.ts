import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './experiment.ts';

/** Compiles the peers' programs that are missing: ovl.c (bare system calls), and ctrbench (containerd's Go client) where Go and its sources are. */
export function buildPrograms(repository: string): Bench['programs'] {
  const peers = join(repository, 'bench', 'peers');
  const ovl = join(peers, 'ovl');
  if (!existsSync(ovl)) execFileSync('gcc', ['-O2', '-pthread', '-o', ovl, join(peers, 'ovl.c')], { stdio: 'inherit' });
  const ctrbench = join(peers, 'ctrbench.bin');
  if (!existsSync(ctrbench) && installed('go') && existsSync(GOPATH))
    execFileSync('go', ['build', '-o', ctrbench], {
      cwd: join(peers, 'ctrbench'),
      env: { ...process.env, GO111MODULE: 'off', GOPATH },
      stdio: 'inherit',
    });
  return { ovl, ctrbench: existsSync(ctrbench) ? ctrbench : undefined };
}

/** Whether a program of this name is on PATH. */
export function installed(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** The first line that `program --version` prints; '' where it is not installed. */
export function versionOf(program: string, ...args: string[]): string {
  const result = spawnSync(program, args.length > 0 ? args : ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? (result.stdout.split('\n')[0] ?? '').trim() : '';
}

/** Where Debian's golang-github-containerd-containerd-dev puts its sources. */
const GOPATH = '/usr/share/gocode';
