import { createLogger, type Logger, silentLogger } from '../logging.ts';
import type { CommandLine } from './command-line.ts';
import { printable } from './text.ts';

/** The engine's logger for the command line: one readable line for each record, on standard error. */
export async function createLog(cli: CommandLine): Promise<Logger> {
  const level = cli.settings.logLevel;
  if (level === 'silent') return silentLogger;
  return createLogger({ level, write: (line) => cli.output.error(formatRecord(line)) });
}

/** `info  provisioned  container=web backend=overlay` from pino's JSON. */
export function formatRecord(line: string): string {
  const { level, msg, err, ...fields } = JSON.parse(line) as { level: string; msg?: string; err?: { message?: string } } & Record<string, unknown>;
  const told = Object.entries(fields)
    .filter(([name]) => !UNTOLD.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? printable(value) : JSON.stringify(value)}`);
  const because = err?.message === undefined ? [] : [`because: ${printable(err.message)}`];
  return [level.padEnd(5), printable(msg ?? ''), told.join(' '), ...because].filter((part) => part !== '').join('  ');
}

/** What every record has and nobody at a terminal needs. */
const UNTOLD: ReadonlySet<string> = new Set(['time', 'pid', 'hostname', 'name']);
