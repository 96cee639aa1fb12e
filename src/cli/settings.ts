import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { RootwrightError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { ColorChoice } from './style.ts';

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type ProgressChoice = 'auto' | 'plain' | 'none';

/** What the options that every command takes say. */
export interface Settings {
  /** Absolute. */
  readonly root: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: ColorChoice;
  readonly progress: ProgressChoice;
  readonly logLevel: LogLevel;
  /** How long to wait for another command that holds the directory, in milliseconds. */
  readonly waitMs: number;
}

/** Adds the options that every command takes. */
export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option('--root <directory>', 'where everything lies').env('ROOTWRIGHT_ROOT').default(undefined, `${defaultRoot()} here`))
    .option('--json', 'print one JSON document on standard output, also on failure')
    .addOption(
      new Option('--wait <seconds>', 'how long to wait for another command that holds the directory')
        .argParser(parseSeconds)
        .default(LIMITS.lockWaitMs / 1000),
    )
    .option('-q, --quiet', 'print results and errors only')
    .addOption(new Option('--progress <how>', 'progress of long work').choices(['auto', 'plain', 'none']).default('auto'))
    .addOption(new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']).default('auto'))
    .addOption(new Option('--log-level <level>', 'what to log on standard error').choices(LOG_LEVELS).default('warn'));
}

/** Reads the options that {@link addGlobalOptions} added. Fails with INVALID_OPTION. */
export function settingsOf(command: Command): Settings {
  const options = command.optsWithGlobals<{
    root?: string;
    json?: boolean;
    wait: number;
    quiet?: boolean;
    progress: ProgressChoice;
    color: ColorChoice;
    logLevel: LogLevel;
  }>();
  if (options.root === '') throw new RootwrightError('INVALID_OPTION', 'the root directory is given as an empty string; name a directory');
  return {
    root: resolve(options.root ?? defaultRoot()),
    json: options.json ?? false,
    quiet: options.quiet ?? false,
    color: options.color,
    progress: options.progress,
    logLevel: options.logLevel,
    waitMs: options.wait * 1000,
  };
}

/** /var/lib/rootwright for root; for others where the XDG base directory specification puts their data. */
function defaultRoot(): string {
  if (process.getuid?.() === 0) return '/var/lib/rootwright';
  const data = process.env['XDG_DATA_HOME'];
  // The specification: "All paths must be absolute. … a relative path … invalid and ignore it."
  return data !== undefined && isAbsolute(data) ? join(data, 'rootwright') : join(homedir(), '.local/share/rootwright');
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds < 0 || seconds > MAXIMUM_WAIT_SECONDS)
    throw new RootwrightError('INVALID_OPTION', `--wait ${JSON.stringify(text)} is no number of seconds from 0 to ${MAXIMUM_WAIT_SECONDS}`);
  return seconds;
}

/** Timers of Node end here: 2^31 milliseconds. */
const MAXIMUM_WAIT_SECONDS = 2_147_483;
