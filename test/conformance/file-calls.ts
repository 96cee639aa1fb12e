import { closeSync, ftruncateSync, lstatSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FileCalls } from '../../src/linux/kernel.ts';
import { isSystemError } from '../../src/linux/system-error.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** What all {@link FileCalls} do; as root, on a file system with xattrs. */
export function fileCallsConformance(name: string, make: () => FileCalls): void {
  describe(`file calls conformance: ${name}`, () => {
    nodesSuite(make);
    xattrSuite(make);
    timesSuite(make);
    extentsSuite(make);
  });
}

type Make = () => FileCalls;

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code;
  }
  return 'no error';
}

function nodesSuite(make: Make): void {
  it('makes devices, pipes and files', () => {
    const files = make();
    const directory = temporaryDirectory('files');
    const at = (name: string): string => join(directory, name);
    files.mknod(at('whiteout'), 0o020600, 0, 0);
    files.mknod(at('block'), 0o060640, 7, 300);
    files.mknod(at('pipe'), 0o010644, 0, 0);
    files.mknod(at('file'), 0o100600, 0, 0);
    const [whiteout, block, pipe, file] = ['whiteout', 'block', 'pipe', 'file'].map((name) => lstatSync(at(name)));
    expect([whiteout?.isCharacterDevice(), whiteout?.rdev, (whiteout?.mode ?? 0) & 0o777]).toEqual([true, 0, 0o600]);
    expect([block?.isBlockDevice(), block?.rdev, (block?.mode ?? 0) & 0o777]).toEqual([true, (7 << 8) | (300 & 0xff) | ((300 & ~0xff) << 12), 0o640]);
    expect([pipe?.isFIFO(), file?.isFile()]).toEqual([true, true]);
  });

  it('is EEXIST where something is, also a dangling symlink, and ENOENT where the directory is missing', () => {
    const files = make();
    const directory = temporaryDirectory('files');
    symlinkSync('nowhere', join(directory, 'link'));
    expect(codeOf(() => files.mknod(join(directory, 'link'), 0o020600, 0, 0))).toBe('EEXIST');
    expect(codeOf(() => files.mknod(join(directory, 'missing', 'x'), 0o020600, 0, 0))).toBe('ENOENT');
  });
}

function xattrSuite(make: Make): void {
  it('sets, gets and lists attributes, byte for byte', () => {
    const files = make();
    const file = join(temporaryDirectory('files'), 'file');
    writeFileSync(file, '');
    const values = { 'trusted.overlay.opaque': 'y', 'user.binary': '\0\u0001ÿ"\\', 'user.empty': '', 'user.with space': 'x' };
    for (const [name, value] of Object.entries(values)) files.setXattr(file, name, Buffer.from(value, 'latin1'));
    for (const [name, value] of Object.entries(values)) expect(files.getXattr(file, name)).toEqual(Buffer.from(value, 'latin1'));
    expect(files.listXattrs(file).map(String).toSorted()).toEqual(Object.keys(values).toSorted());
    files.setXattr(file, Buffer.from('user.binary'), Buffer.alloc(3000, 9));
    expect(files.getXattr(Buffer.from(file), Buffer.from('user.binary'))).toEqual(Buffer.alloc(3000, 9));
  });

  it('has no attribute where none is set or can be', () => {
    const files = make();
    const file = join(temporaryDirectory('files'), 'file');
    writeFileSync(file, '');
    expect([files.getXattr(file, 'user.none'), files.listXattrs(file)]).toEqual([undefined, []]);
    expect([files.getXattr('/proc/self/status', 'user.none'), files.getXattr(file, 'nonsense.name')]).toEqual([undefined, undefined]);
    expect(codeOf(() => files.getXattr(`${file}-missing`, 'user.none'))).toBe('ENOENT');
    expect(codeOf(() => files.listXattrs(`${file}-missing`))).toBe('ENOENT');
    expect(codeOf(() => files.setXattr(file, 'nonsense.name', Buffer.alloc(1)))).toMatch(/^(ENOTSUP|EOPNOTSUPP)$/);
  });

  it('means a symlink itself, never what it leads to', () => {
    const files = make();
    const directory = temporaryDirectory('files');
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('file', join(directory, 'link'));
    files.setXattr(join(directory, 'link'), 'trusted.on.link', Buffer.from('1'));
    expect(files.getXattr(join(directory, 'link'), 'trusted.on.link')?.toString()).toBe('1');
    expect(files.listXattrs(join(directory, 'file'))).toEqual([]);
  });

  it('takes names that are no UTF-8, and refuses a NUL', () => {
    const files = make();
    const directory = temporaryDirectory('files');
    const file = Buffer.concat([Buffer.from(`${directory}/odd-`), Buffer.from([0xff, 0xfe, 0x0a])]);
    writeFileSync(file, '');
    files.setXattr(file, 'user.name', Buffer.from('value'));
    expect(files.getXattr(file, 'user.name')?.toString()).toBe('value');
    files.setTimes(file, 0n, 5n);
    expect(lstatSync(file, { bigint: true }).mtimeNs).toBe(5n);
    expect(codeOf(() => files.setXattr(`${directory}\0x`, 'user.name', Buffer.alloc(1)))).toBe('EINVAL');
  });
}

const TIMES = {
  now: 1_763_700_000_123_456_789n,
  epoch: 0n,
  'before the epoch': -1_500_000_000n,
  'a nanosecond before': -1n,
  far: 4_102_444_800_000_000_001n,
};

function timesSuite(make: Make): void {
  it.each(Object.entries(TIMES))('sets times to the nanosecond: %s', (_, time) => {
    const files = make();
    const directory = temporaryDirectory('files');
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('file', join(directory, 'link'));
    const before = lstatSync(join(directory, 'file'), { bigint: true });
    files.setTimes(join(directory, 'link'), time, time + 7n);
    const link = lstatSync(join(directory, 'link'), { bigint: true });
    expect([link.atimeNs, link.mtimeNs]).toEqual([time, time + 7n]);
    expect(lstatSync(join(directory, 'file'), { bigint: true }).mtimeNs).toBe(before.mtimeNs);
  });

  it('leaves the time that is not given, and makes nothing', () => {
    const files = make();
    const directory = temporaryDirectory('files');
    mkdirSync(join(directory, 'd'));
    files.setTimes(join(directory, 'd'), 1_000n, 2_000n);
    files.setTimes(join(directory, 'd'), undefined, 3_000n);
    files.setTimes(join(directory, 'd'), undefined, undefined);
    const { atimeNs, mtimeNs } = lstatSync(join(directory, 'd'), { bigint: true });
    expect([atimeNs, mtimeNs]).toEqual([1_000n, 3_000n]);
    expect(codeOf(() => files.setTimes(join(directory, 'missing'), 1n, 1n))).toBe('ENOENT');
  });
}

function extentsSuite(make: Make): void {
  it('covers all data of a sparse file, in order, inside its size', () => {
    const files = make();
    const path = join(temporaryDirectory('files'), 'sparse');
    const fd = openSync(path, 'w+');
    try {
      expect(files.dataExtents(fd, 0)).toEqual([]);
      writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 1 << 20);
      writeSync(fd, Buffer.alloc(10, 2), 0, 10, 3 << 20);
      ftruncateSync(fd, 5 << 20);
      const extents = files.dataExtents(fd, 5 << 20);
      const content = readFileSync(path);
      const copy = Buffer.alloc(content.length);
      let end = 0;
      for (const [from, to] of extents) {
        expect(from).toBeGreaterThanOrEqual(end);
        expect(to).toBeLessThanOrEqual(5 << 20);
        content.copy(copy, from, from, to);
        end = to;
      }
      expect(copy.equals(content)).toBe(true);
    } finally {
      closeSync(fd);
    }
  });
}
