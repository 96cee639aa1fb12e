import { describe, expect, it } from 'vitest';
import { EXIT_CODE_OF } from '../../src/cli/exit-codes.ts';
import { formatRecord } from '../../src/cli/log.ts';
import { styleFor } from '../../src/cli/style.ts';
import { formatTable } from '../../src/cli/table.ts';
import { formatAge, formatBytes, printable, shortDigest } from '../../src/cli/text.ts';
import { ERROR_CODES } from '../../src/errors.ts';

const plain = styleFor({ isTTY: false }, 'never', {});

describe('styleFor', () => {
  const colored = (stream: { isTTY?: boolean }, choice: 'auto' | 'always' | 'never', env: Record<string, string>): boolean =>
    styleFor(stream, choice, env)('red', 'x') !== 'x';

  it.each([
    ['a terminal', true, 'auto', {}, true],
    ['no terminal', false, 'auto', {}, false],
    ['NO_COLOR on a terminal', true, 'auto', { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR counts as none', true, 'auto', { NO_COLOR: '' }, true],
    ['FORCE_COLOR without a terminal', false, 'auto', { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR=0 on a terminal', true, 'auto', { FORCE_COLOR: '0' }, false],
    ['NO_COLOR before FORCE_COLOR', true, 'auto', { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
    ['a dumb terminal', true, 'auto', { TERM: 'dumb' }, false],
    ['the flag before the environment', false, 'always', { NO_COLOR: '1' }, true],
    ['the flag before the terminal', true, 'never', { FORCE_COLOR: '1' }, false],
  ] as const)('%s', (_what, isTTY, choice, env, expected) => {
    expect(colored({ isTTY }, choice, env)).toBe(expected);
  });
});

describe('formatTable', () => {
  it('aligns columns, numbers to the right, and leaves no blanks at the end of lines', () => {
    const table = formatTable(
      ['NAME', 'COUNT', 'NOTE'],
      [
        ['a', 1, 'short'],
        ['longer', 1000, ''],
      ],
      plain,
    );
    expect(table).toBe(['NAME    COUNT  NOTE', 'a           1  short', 'longer   1000  ', ''].join('\n'));
  });

  it('a format does not count for the width', () => {
    const styled = formatTable(['A', 'B'], [[{ text: 'x', format: 'red' }, 'y']], styleFor({}, 'always', {}));
    expect(styled).toContain('\u001b[31mx\u001b[39m  y\n');
  });

  it('shows control characters as escapes', () => {
    expect(formatTable(['A'], [['a\u001b[2J\nb']], plain)).toBe('A\na\\u{1b}[2J\\nb\n');
  });
});

describe('printable', () => {
  it.each([
    ['plain', 'plain'],
    ['grüße 日本語 😀', 'grüße 日本語 😀'],
    ['tab\tnewline\n', 'tab\\tnewline\\n'],
    ['\u001b]0;title\u0007', '\\u{1b}]0;title\\u{7}'],
    ['\u009b2J', '\\u{9b}2J'],
    ['abc\u202egnp.exe', 'abc\\u{202e}gnp.exe'],
  ])('%j', (text, expected) => {
    expect(printable(text)).toBe(expected);
  });
});

describe('figures', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_949, '999.9 kB'],
    [999_950, '1.0 MB'],
    [1_500_000_000, '1.5 GB'],
    [5e15, '5000.0 TB'],
  ])('%d bytes', (bytes, expected) => {
    expect(formatBytes(bytes)).toBe(expected);
  });

  it.each([
    [0, 'just now'],
    [1000, '1 second ago'],
    [59_999, '59 seconds ago'],
    [60_000, '1 minute ago'],
    [7_200_000, '2 hours ago'],
    [200_000_000, '2 days ago'],
    [-5000, 'just now'],
  ])('%d milliseconds ago', (milliseconds, expected) => {
    expect(formatAge(1e12 - milliseconds, 1e12)).toBe(expected);
  });

  it('shortens a digest', () => {
    expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('abababababab');
  });
});

describe('formatRecord', () => {
  it('puts a pino record on one readable line', () => {
    const record = {
      level: 'warn',
      time: 1,
      pid: 2,
      hostname: 'h',
      name: 'rootwright',
      container: 'web',
      tries: 2,
      err: { message: 'no\nroom' },
      msg: 'retry',
    };
    expect(formatRecord(JSON.stringify(record))).toBe('warn   retry  container=web tries=2  because: no\\nroom');
  });
});

describe('exit codes', () => {
  it('every error code has one that means a failure', () => {
    expect(Object.keys(EXIT_CODE_OF).toSorted()).toEqual([...ERROR_CODES].toSorted());
    expect(Object.values(EXIT_CODE_OF).filter((code) => code === 0)).toEqual([]);
  });
});
