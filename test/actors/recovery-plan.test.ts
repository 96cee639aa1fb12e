import { describe, expect, it } from 'vitest';
import { judge, planRecovery, type FoundContainer, type FoundRootfs } from '../../src/actors/recovery-plan.ts';
import { parseContainerId } from '../../src/paths/container-id.ts';

const rootfs = (over: Partial<FoundRootfs>): FoundRootfs => ({
  id: 'r',
  backend: 'overlay',
  entry: undefined,
  ready: true,
  onDisk: true,
  mounted: true,
  ...over,
});
const container = (id: string, ...rootfses: readonly FoundRootfs[]): FoundContainer => ({
  id: parseContainerId(id),
  directory: `/${id}`,
  rootfses,
  checkpoint: true,
  damage: undefined,
  staleMarkers: [],
  temporaries: [],
});
const kept = (found: readonly FoundContainer[], known?: readonly string[]): string[] =>
  planRecovery(found, known && new Set(known.map(parseContainerId))).flatMap((plan) => (plan.keep ? [plan.container.id] : []));

describe('the judgement of a rootfs', () => {
  it.each([
    ['whole', {}],
    ['whole', { mounted: undefined, backend: 'copy' }],
    ['unmounted', { mounted: false }],
    ['interrupted', { ready: false }],
    ['interrupted', { ready: false, onDisk: false }],
    ['missing', { onDisk: false, mounted: false }],
  ] as const)('%s: %j', (verdict, over) => {
    expect(judge(rootfs(over))).toBe(verdict);
  });
});

describe('the plan of a recovery', () => {
  const whole = rootfs({});
  const half = rootfs({ ready: false });

  it('without known ids keeps what is whole, and what that is nested in', () => {
    const found = [
      container('a', half),
      container('a.b'),
      container('a.b.c', whole),
      container('d', half),
      container('e'),
      container('f', half, whole),
    ];
    expect(kept(found)).toEqual(['a', 'a.b', 'a.b.c', 'f']);
  });

  it('keeps a container that a reboot took the mount from', () => {
    expect(kept([container('a', rootfs({ mounted: false }))])).toEqual(['a']);
  });

  it('with known ids keeps those, and what they are nested in, whatever state they are in', () => {
    const found = [container('a', whole), container('a.b', half), container('a.c', whole), container('d', whole), container('dd')];
    expect(kept(found, ['a.b', 'dd'])).toEqual(['a', 'a.b', 'dd']);
    expect(kept(found, [])).toEqual([]);
  });

  it('keeps the parent of a known container that has no directory', () => {
    expect(kept([container('a', whole), container('a.x', whole)], ['a.b.c'])).toEqual(['a']);
  });

  it('says why', () => {
    const plans = planRecovery([container('a'), container('a.b', whole), container('c')], undefined);
    expect(plans.map(({ why }) => why)).toEqual(['a.b is nested in it', 'it has a rootfs that is whole', expect.stringContaining('neither')]);
  });
});
