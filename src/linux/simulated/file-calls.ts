import { lstatSync, writeFileSync, type BigIntStats } from 'node:fs';
import { openFileCalls } from '../file-calls.ts';
import type { FileCalls, Path } from '../kernel.ts';

/**
 * The calls on single files, on real files. Where this process may not make a device or set a `trusted.*` attribute, an empty file stands in
 * for the device, and devices and attributes are kept in a table by inode, so that they follow renames.
 */
export class SimulatedFileCalls implements FileCalls {
  private readonly real: FileCalls = openFileCalls();
  private readonly privileged: boolean;
  private readonly devices = new Map<string, Device>();
  private readonly attributes = new Map<string, Map<string, Buffer>>();

  constructor(options: { readonly privileged: boolean }) {
    this.privileged = options.privileged;
  }

  /** Which device is at `path`; undefined where there is none. */
  deviceOf(path: Path, status: BigIntStats = lstatSync(path, { bigint: true })): Device | undefined {
    if (!status.isCharacterDevice() && !status.isBlockDevice()) return this.devices.get(keyOf(status));
    const number = status.rdev;
    return { major: Number((number >> 8n) & 0xfffn), minor: Number((number & 0xffn) | ((number >> 12n) & 0xfff00n)) };
  }

  mknod(path: Path, mode: number, major: number, minor: number): void {
    const type = mode & S_IFMT;
    if (this.privileged || (type !== S_IFCHR && type !== S_IFBLK)) {
      this.real.mknod(path, mode, major, minor);
      return;
    }
    writeFileSync(path, '', { flag: 'wx', mode: mode & 0o7777 });
    this.devices.set(keyOf(lstatSync(path, { bigint: true })), { major, minor });
  }

  setXattr(path: Path, name: Path, value: Buffer): void {
    if (this.privileged || !isTrusted(name)) {
      this.real.setXattr(path, name, value);
      return;
    }
    const key = keyOf(lstatSync(path, { bigint: true }));
    const attributes = this.attributes.get(key) ?? new Map<string, Buffer>();
    this.attributes.set(key, attributes.set(name.toString(), Buffer.from(value)));
  }

  getXattr(path: Path, name: Path): Buffer | undefined {
    if (this.privileged || !isTrusted(name)) return this.real.getXattr(path, name);
    return this.attributes.get(keyOf(lstatSync(path, { bigint: true })))?.get(name.toString());
  }

  listXattrs(path: Path): Buffer[] {
    const kept = this.privileged ? undefined : this.attributes.get(keyOf(lstatSync(path, { bigint: true })));
    return [...this.real.listXattrs(path), ...[...(kept?.keys() ?? [])].map((name) => Buffer.from(name))];
  }

  setTimes(path: Path, accessed: bigint | undefined, modified: bigint | undefined): void {
    this.real.setTimes(path, accessed, modified);
  }

  dataExtents(fd: number, size: number): Array<readonly [number, number]> {
    return this.real.dataExtents(fd, size);
  }
}

export interface Device {
  readonly major: number;
  readonly minor: number;
}

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

function isTrusted(name: Path): boolean {
  return name.toString().startsWith('trusted.');
}

/** An inode's number is used again after a delete; the time of its birth tells the two apart. */
function keyOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}
