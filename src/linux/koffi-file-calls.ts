import type { FileCalls, Path } from './kernel.ts';
import { check, toC, type Libc } from './libc.ts';

/** {@link FileCalls} by system calls, 1–2 µs each. */
export function koffiFileCalls(libc: Libc): FileCalls {
  return {
    mknod(path: Path, mode: number, major: number, minor: number): void {
      check(libc.mknod(toC(path), mode, deviceNumber(major, minor)), 'mknod', path);
    },
    setXattr(path: Path, name: Path, value: Buffer): void {
      check(libc.lsetxattr(toC(path), toC(name), value, value.length, 0), 'lsetxattr', path);
    },
    getXattr(path: Path, name: Path): Buffer | undefined {
      const size = libc.lgetxattr(toC(path), toC(name), SCRATCH, SCRATCH.length);
      if (size === -ENODATA || size === -ENOTSUP) return undefined;
      return Buffer.from(SCRATCH.subarray(0, check(size, 'lgetxattr', path)));
    },
    listXattrs(path: Path): Buffer[] {
      const size = libc.llistxattr(toC(path), SCRATCH, SCRATCH.length);
      if (size === -ENOTSUP) return [];
      return splitNames(SCRATCH.subarray(0, check(size, 'llistxattr', path)));
    },
    setTimes(path: Path, accessed: bigint | undefined, modified: bigint | undefined): void {
      const times = new BigInt64Array([...timespec(accessed), ...timespec(modified)]);
      check(libc.utimensat(AT_FDCWD, toC(path), Buffer.from(times.buffer), AT_SYMLINK_NOFOLLOW), 'utimensat', path);
    },
    dataExtents(fd: number, size: number): Array<readonly [number, number]> {
      const extents: Array<readonly [number, number]> = [];
      for (let offset = 0; offset < size; ) {
        const data = libc.lseek(fd, offset, SEEK_DATA);
        if (data === -ENXIO) break;
        if (data === -EINVAL) return [[0, size]];
        check(data, 'lseek');
        if (data >= size) break;
        const hole = Math.min(check(libc.lseek(fd, data, SEEK_HOLE), 'lseek'), size);
        extents.push([data, hole]);
        offset = hole;
      }
      return extents;
    },
  };
}

/** The largest value and the largest list of names that the kernel has are 64 KiB. Each thread has its own copy of this module. */
const SCRATCH = Buffer.alloc(65_536);
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const UTIME_OMIT = 1_073_741_822n;
const SECOND = 1_000_000_000n;
const ENXIO = 6;
const EINVAL = 22;
const ENODATA = 61;
const ENOTSUP = 95;

function timespec(nanoseconds: bigint | undefined): [bigint, bigint] {
  if (nanoseconds === undefined) return [0n, UTIME_OMIT];
  const fraction = ((nanoseconds % SECOND) + SECOND) % SECOND;
  return [(nanoseconds - fraction) / SECOND, fraction];
}

function splitNames(list: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < list.length; ) {
    const end = list.indexOf(0, start);
    names.push(Buffer.from(list.subarray(start, end)));
    start = end + 1;
  }
  return names;
}

/** The kernel's 32-bit dev_t, as makedev(3) has it for majors below 4096. */
function deviceNumber(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
