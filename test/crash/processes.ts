import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from './victim.ts';

/** How a command of the program ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `rootwright` as a process of its own. */
export function rootwright(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
  });
}

/** Lets a victim do its job to the end; milliseconds from `ready` to `done`. */
export async function runToEnd(job: Job): Promise<number> {
  const victim = await startVictim(job);
  const start = performance.now();
  await victim.done;
  const elapsed = performance.now() - start;
  await victim.exited;
  return elapsed;
}

/** Kills a victim with SIGKILL `delayMs` after it began its job. Says whether it was still at it. */
export async function killDuring(job: Job, delayMs: number): Promise<'killed' | 'finished'> {
  const victim = await startVictim(job);
  const until = performance.now() + delayMs;
  if (delayMs > 5) await sleep(delayMs - 3);
  while (performance.now() < until) await immediate();
  victim.process.kill('SIGKILL');
  await victim.exited;
  return victim.process.signalCode === 'SIGKILL' ? 'killed' : 'finished';
}

/** A victim that has its engine and is about to begin. */
export interface Victim {
  readonly process: ChildProcess;
  /** Rejects where it ends before. */
  readonly done: Promise<void>;
  readonly exited: Promise<unknown>;
}

export async function startVictim(job: Job): Promise<Victim> {
  const child = spawn(process.execPath, [VICTIM, JSON.stringify(job)], { stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const exited = once(child, 'close');
  const lines = createInterface({ input: child.stdout });
  const heard = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      lines.on('line', (line) => (line === wanted ? resolve() : undefined));
      void exited.then(() => reject(new Error(`the victim ended without '${wanted}': ${errors}`)));
    });
  const done = heard('done');
  done.catch(() => undefined);
  await heard('ready');
  return { process: child, done, exited };
}

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');
const VICTIM = join(import.meta.dirname, 'victim.js');

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
