import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { isSystemError, systemError } from '../system-error.ts';
import type { SimulatedFileCalls } from './file-calls.ts';

/** What a name is in a simulated file system. A whiteout hides the same name in the layers below; it is one only to a union. */
export type NodeType = 'directory' | 'file' | 'symlink' | 'special' | 'whiteout';

/** A file system as the simulated kernel sees it. Paths are absolute inside it, normalised, and no symlink in them is followed. */
export interface SimulatedFilesystem {
  readonly type: string;
  readonly source: string;
  /** 'major:minor'. */
  readonly device: string;
  readonly superOptions: readonly string[];
  /** undefined where nothing is. */
  typeOf(path: string): NodeType | undefined;
  /** Names in a directory, unordered. */
  list(path: string): string[];
  read(path: string): Buffer;
  readlink(path: string): string;
  /** Creates or replaces a file. EROFS where the file system can't. */
  write(path: string, data: Buffer): void;
  /** Whether `path` hides what lies below it, for unions. */
  isOpaque(path: string): boolean;
}

/** The real directory tree: what the tests and the engine made there. */
export class HostFilesystem implements SimulatedFilesystem {
  readonly type = 'ext4';
  readonly source = '/dev/simulated';
  readonly device = '8:1';
  readonly superOptions: readonly string[] = ['rw'];
  private readonly files: SimulatedFileCalls;

  constructor(files: SimulatedFileCalls) {
    this.files = files;
  }

  typeOf(path: string): NodeType | undefined {
    try {
      const status = lstatSync(path, { bigint: true });
      if (status.isDirectory()) return 'directory';
      if (status.isSymbolicLink()) return 'symlink';
      const device = this.files.deviceOf(path, status);
      if (device === undefined) return status.isFile() ? 'file' : 'special';
      return device.major === 0 && device.minor === 0 ? 'whiteout' : 'special';
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  list(path: string): string[] {
    return readdirSync(path);
  }

  read(path: string): Buffer {
    return readFileSync(path);
  }

  readlink(path: string): string {
    return readlinkSync(path);
  }

  write(path: string, data: Buffer): void {
    writeFileSync(path, data);
  }

  isOpaque(path: string): boolean {
    return this.files.getXattr(path, 'trusted.overlay.opaque')?.toString() === 'y';
  }
}

/** A file system with nothing in it (tmpfs, proc and others that the engine only mounts); what is written to it stays in memory. */
export class EmptyFilesystem implements SimulatedFilesystem {
  readonly type: string;
  readonly source: string;
  readonly device: string;
  readonly superOptions: readonly string[];
  private readonly contents = new Map<string, Buffer>();

  constructor(type: string, source: string, device: string, superOptions: readonly string[]) {
    this.type = type;
    this.source = source;
    this.device = device;
    this.superOptions = superOptions;
  }

  typeOf(path: string): NodeType | undefined {
    return path === '/' ? 'directory' : this.contents.has(path) ? 'file' : undefined;
  }

  list(): string[] {
    return [...this.contents.keys()].map((path) => path.slice(1));
  }

  read(path: string): Buffer {
    const data = this.contents.get(path);
    if (data === undefined) throw systemError('ENOENT', 'open', path);
    return data;
  }

  readlink(path: string): string {
    throw systemError('EINVAL', 'readlink', path);
  }

  write(path: string, data: Buffer): void {
    if (path.lastIndexOf('/') !== 0) throw systemError('ENOENT', 'open', path);
    this.contents.set(path, data);
  }

  isOpaque(): boolean {
    return false;
  }
}
