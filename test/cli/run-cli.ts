import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';

/** The compiled program under test. */
export const MAIN = join(import.meta.dirname, '../../src/cli/main.js');

export interface CliOptions {
  /** Added to a small environment of its own: what the tests' own shell exports does not matter. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
  /** Runs as this user and group. */
  readonly uid?: number;
}

export interface CliResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `rootwright` to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const running = startCli(args, options);
  running.child.stdin.end(options.input ?? '');
  return running.result;
}

export interface RunningCli {
  readonly child: ChildProcessWithoutNullStreams;
  readonly result: Promise<CliResult>;
  /** Settles when standard error has matched; fails when the program ends before. */
  said(pattern: RegExp): Promise<void>;
}

/** Starts `rootwright` and leaves it running. */
export function startCli(args: readonly string[], options: CliOptions = {}): RunningCli {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A program that ends without reading its input is no failure of the test.
  child.stdin.on('error', () => undefined);
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  const said = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (pattern.test(stderr)) resolve();
      };
      child.stderr.on('data', look);
      child.on('close', () => reject(new Error(`ended without saying ${pattern}; it said:\n${stderr}`)));
      look();
    });
  return { child, result, said };
}

/** The JSON document that a command printed. */
export function documentOf(result: CliResult): Record<string, unknown> & { error?: { code: string; message: string; hint?: string } } {
  return JSON.parse(result.stdout) as Record<string, unknown>;
}
