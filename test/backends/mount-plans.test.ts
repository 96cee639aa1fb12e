import { describe, expect, it } from 'vitest';
import { planAufsMount } from '../../src/backends/aufs.ts';
import { planOverlayMount } from '../../src/backends/overlay.ts';
import { LIMITS } from '../../src/limits.ts';

const paths = (count: number, prefix = '/store/sha256:a,b\\c d/'): { layers: string[]; rootfs: string; scratch: string } => ({
  layers: Array.from({ length: count }, (_, index) => `${prefix}${index}`),
  rootfs: '/c/rootfses/r',
  scratch: '/c/scratch/r',
});

describe('planAufsMount', () => {
  it('[BK4] gives the mount data to the byte: writable branch first, then the layers, topmost first, with their whiteouts honoured', () => {
    expect(planAufsMount(paths(3))).toEqual({
      request: {
        type: 'aufs',
        source: 'aufs',
        target: '/c/rootfses/r',
        directory: '/c/scratch/r/links',
        options: [['dirs', 'work=rw:2=ro+wh:1=ro+wh:0=ro+wh']],
      },
      links: [
        ['0', '/store/sha256:a,b\\c d/0'],
        ['1', '/store/sha256:a,b\\c d/1'],
        ['2', '/store/sha256:a,b\\c d/2'],
        ['work', '/c/scratch/r/workdir'],
      ],
    });
  });

  it('[BK5] holds as many layers as a page of data does, and refuses one more', () => {
    const dataOf = (count: number): number => `dirs=${planAufsMount(paths(count)).request.options?.[0]?.[1]}`.length;
    const most = Array.from({ length: LIMITS.layersPerRootfs }, (_, index) => index + 1).findLast(
      (count) => 'dirs=work=rw'.length + bytesOf(count) <= LIMITS.mountDataBytes,
    ) as number;
    expect(dataOf(most)).toBeLessThanOrEqual(LIMITS.mountDataBytes);
    expect(most).toBeGreaterThan(250);
    expect(() => planAufsMount(paths(most + 1))).toThrow(
      expect.objectContaining({ code: 'LAYERS_UNSUPPORTED', details: expect.objectContaining({ layers: most + 1 }) as unknown }),
    );
  });
});

/** ':<index>=ro+wh' for each layer. */
function bytesOf(count: number): number {
  return Array.from({ length: count }, (_, index) => `:${index}=ro+wh`.length).reduce((sum, length) => sum + length, 0);
}

describe('planOverlayMount', () => {
  it('gives each layer to the kernel as it is where the kernel takes them one by one', () => {
    expect(planOverlayMount(paths(2), { overlayLowerdirAppend: true })).toEqual({
      request: {
        type: 'overlay',
        source: 'overlay',
        target: '/c/rootfses/r',
        options: [
          ['lowerdir+', '/store/sha256:a,b\\c d/1'],
          ['lowerdir+', '/store/sha256:a,b\\c d/0'],
          ['upperdir', '/c/scratch/r/upperdir'],
          ['workdir', '/c/scratch/r/workdir'],
        ],
      },
      links: [],
    });
  });

  it('[BK2] else gives the data to the byte, short names without odd characters', () => {
    expect(planOverlayMount(paths(3), { overlayLowerdirAppend: false })).toEqual({
      request: {
        type: 'overlay',
        source: 'overlay',
        target: '/c/rootfses/r',
        directory: '/c/scratch/r/links',
        options: [
          ['lowerdir', '2:1:0'],
          ['upperdir', 'upper'],
          ['workdir', 'work'],
        ],
      },
      links: [
        ['0', '/store/sha256:a,b\\c d/0'],
        ['1', '/store/sha256:a,b\\c d/1'],
        ['2', '/store/sha256:a,b\\c d/2'],
        ['upper', '/c/scratch/r/upperdir'],
        ['work', '/c/scratch/r/workdir'],
      ],
    });
  });

  it('uses links for paths that are too long for one value, counted in bytes', () => {
    const prefix = (length: number): string => `/${'ü'.repeat((length - 2) / 2)}`;
    const linksOf = (length: number): number => planOverlayMount(paths(1, prefix(length)), { overlayLowerdirAppend: true }).links.length;
    expect(linksOf(LIMITS.mountOptionValueBytes - 1)).toBe(0);
    expect(linksOf(LIMITS.mountOptionValueBytes + 1)).toBe(3);
  });

  it('fits LIMITS.layersPerRootfs into one page', () => {
    const { options = [] } = planOverlayMount(paths(LIMITS.layersPerRootfs), { overlayLowerdirAppend: false }).request;
    expect(options.map((option) => option.join('=')).join(',').length).toBeLessThan(LIMITS.mountDataBytes);
  });
});
