import { describe, expect, it } from 'vitest';
import type { MountRequest } from '../../src/linux/kernel.ts';
import { mountData, parseOptions, prefixList } from '../../src/linux/mount-options.ts';

const request = (type: string, options: MountRequest['options'], readOnly = false): MountRequest => ({
  type,
  source: type,
  target: '/t',
  readOnly,
  ...(options === undefined ? {} : { options }),
});

describe('parseOptions', () => {
  it('tells flags from what the file system understands', () => {
    const parsed = parseOptions(request('tmpfs', [['nosuid'], ['nodev'], ['size', '1m'], ['noatime']], true));
    expect(parsed.flags).toBe(2 | 4 | 1024 | 1);
    expect(parsed.attributes).toBe(0x2 | 0x4 | 0x10 | 0x1);
    expect(parsed.superFlags).toEqual(['ro']);
    expect(parsed.generic).toEqual(['nosuid', 'nodev', 'noatime', 'ro']);
    expect(parsed.words).toEqual([['size', '1m']]);
  });

  it('leaves a word alone that only looks like a flag', () => {
    expect(parseOptions(request('x', [['ro', 'value'], ['volatile']])).words).toEqual([['ro', 'value'], ['volatile']]);
  });
});

describe('mountData', () => {
  it('makes one lowerdir of the appended ones, in order, and escapes what overlayfs would split at', () => {
    const data = mountData(
      request('overlay', [['lowerdir+', '/l:1'], ['lowerdir+', '/l,2'], ['upperdir', '/u\\p,e:r'], ['workdir', '/w'], ['volatile']]),
    );
    expect(data).toBe('lowerdir=/l\\:1:/l\\,2,upperdir=/u\\\\p\\,e:r,workdir=/w,volatile');
  });

  it('puts the prefix before relative paths only', () => {
    const overlay = request('overlay', [
      ['lowerdir', '0:1:/abs'],
      ['upperdir', 'u'],
      ['workdir', '/w'],
      ['index', 'off'],
    ]);
    expect(mountData(overlay, '/p/')).toBe('lowerdir=/p/0:/p/1:/abs,upperdir=/p/u,workdir=/w,index=off');
    const aufs = request('aufs', [['dirs', 'work=rw:1=ro+wh:/0=ro+wh']]);
    expect(mountData(aufs, '/p/')).toBe('dirs=/p/work=rw:/p/1=ro+wh:/0=ro+wh');
    expect(prefixList('tmpfs', 'size', '1:2', '/p/')).toBe('1:2');
  });

  it('is EINVAL for a comma where nothing can escape it', () => {
    expect(() => mountData(request('aufs', [['dirs', '/a,b=rw']]))).toThrow(/EINVAL.*','/);
  });

  it('takes 4095 bytes and not one more: E2BIG', () => {
    const value = (bytes: number): MountRequest => request('overlay', [['lowerdir', 'ü'.repeat((bytes - 'lowerdir='.length) / 2)]]);
    expect(Buffer.byteLength(mountData(value(4095)))).toBe(4095);
    expect(() => mountData(value(4097))).toThrow(/E2BIG.*4097 bytes.*4095/);
  });
});
