import type { PullProgress } from '../../stores/store.ts';
import type { CommandLine } from '../command-line.ts';
import { PlainProgress } from './plain-progress.ts';
import { TerminalProgress } from './terminal-progress.ts';

/** Runs `body` with a listener that shows the layers of a pull on standard error, as `--progress` and `--quiet` say. */
export async function showPull<T>(cli: CommandLine, body: (onProgress: (progress: PullProgress) => void) => Promise<T>): Promise<T> {
  const { output, settings } = cli;
  if (settings.quiet || settings.progress === 'none') return body(() => undefined);
  const onTerminal = settings.progress === 'auto' && process.stderr.isTTY && process.env['TERM'] !== 'dumb';
  if (!onTerminal) {
    const progress = new PlainProgress((line) => output.note(line));
    return body((event) => progress.update(event));
  }
  const progress = new TerminalProgress(process.stderr, output.noteStyle);
  output.attach(progress);
  try {
    return await body((event) => progress.update(event));
  } finally {
    output.attach(undefined);
    progress.end();
  }
}
