import { styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** Puts terminal styles around text, or leaves it as it is. */
export type Style = (format: Format, text: string) => string;

export type ColorChoice = 'auto' | 'always' | 'never';

/**
 * The styles for one stream. `choice` (the flag) comes first, then NO_COLOR (https://no-color.org: any value but the empty one), then
 * FORCE_COLOR (`0` and `false` switch off), then TERM=dumb, then whether the stream is a terminal.
 */
export function styleFor(stream: { readonly isTTY?: boolean }, choice: ColorChoice, env: NodeJS.ProcessEnv): Style {
  return wantsColor(stream, choice, env) ? (format, text) => styleText(format, text, FORCED) : (_format, text) => text;
}

/** The decision is ours, so styleText must not look at the environment again. Node 20 has no such option and never looks. */
const FORCED = { validateStream: false };

function wantsColor(stream: { readonly isTTY?: boolean }, choice: ColorChoice, env: NodeJS.ProcessEnv): boolean {
  if (choice !== 'auto') return choice === 'always';
  if (env['NO_COLOR']) return false;
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined && forced !== '') return forced !== '0' && forced !== 'false';
  return env['TERM'] !== 'dumb' && stream.isTTY === true;
}
