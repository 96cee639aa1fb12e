import { describe, expect, it } from 'vitest';
import {
  formatPlatform,
  isNoPlatform,
  machinePlatform,
  normalizePlatform,
  parsePlatform,
  platformRank,
} from '../../../src/stores/docker/platform.ts';

describe('a platform', () => {
  it.each([
    ['linux/x86_64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['Linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/i386', 'linux/386'],
    ['linux/riscv64', 'linux/riscv64'],
  ])('%s is %s', (text, expected) => {
    expect(formatPlatform(parsePlatform(text))).toBe(expected);
    expect(normalizePlatform(parsePlatform(text))).toEqual(parsePlatform(expected));
  });

  it.each(['', 'linux', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux/a b'])('%j is refused', (text) =>
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' })),
  );

  it('of this machine is in the words that images use', () => {
    expect(machinePlatform().os).toBe('linux');
    if (process.arch === 'x64') expect(formatPlatform(machinePlatform())).toBe('linux/amd64');
  });
});

describe('the choice of a platform', () => {
  const rank = (wanted: string, offered: string): number | undefined => platformRank(parsePlatform(wanted), parsePlatform(offered));

  it.each([
    ['linux/amd64', 'linux/arm64'],
    ['linux/amd64', 'windows/amd64'],
    ['linux/amd64', 'linux/amd64/v2'],
    ['linux/arm/v6', 'linux/arm/v7'],
    ['linux/arm64', 'linux/arm/v7'],
  ])('on %s, %s does not run', (wanted, offered) => expect(rank(wanted, offered)).toBeUndefined());

  it('takes the same variant first, then the highest below it', () => {
    const offered = ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7', 'linux/arm/v8'];
    const order = offered
      .filter((offer) => rank('linux/arm/v7', offer) !== undefined)
      .toSorted((a, b) => (rank('linux/arm/v7', b) ?? 0) - (rank('linux/arm/v7', a) ?? 0));
    expect(order).toEqual(['linux/arm/v7', 'linux/arm/v6', 'linux/arm/v5']);
    expect(rank('linux/amd64/v3', 'linux/amd64')).toBeLessThan(rank('linux/amd64/v3', 'linux/amd64/v2') ?? 0);
  });

  it('knows what is no platform at all', () => {
    expect(isNoPlatform({ os: 'unknown', architecture: 'unknown' })).toBe(true);
    expect([isNoPlatform(undefined), isNoPlatform({ os: 'linux', architecture: 'amd64' })]).toEqual([false, false]);
  });
});
