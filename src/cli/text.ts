/**
 * Text from outside (names, paths, messages of other programs) made safe to show: control characters, which could move the cursor or
 * change a terminal's state, become escapes.
 */
export function printable(text: string): string {
  // C0, DEL and C1, and the marks that turn the direction of writing.
  return text.replaceAll(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return ESCAPES[character] ?? `\\u{${code.toString(16)}}`;
  });
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A size for people: '512 B', '1.4 MB'. Powers of ten, as storage vendors and `ls --si` count. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.95 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** How long ago a moment was, in its largest unit: '5 minutes ago'. */
export function formatAge(milliseconds: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.floor((now - milliseconds) / 1000));
  for (const [unit, size] of AGE_UNITS) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

const AGE_UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** '1 layer', '2 layers'. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** The first twelve hex digits of a digest, enough to tell digests apart by eye. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9]+:/, '').slice(0, 12);
}
