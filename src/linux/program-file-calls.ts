import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import type { FileCalls, Path } from './kernel.ts';
import { bytesOf, refuseNul } from './path-bytes.ts';
import { isSystemError, systemError } from './system-error.ts';
import { errnoOf, programError } from './util-linux-errors.ts';

/**
 * {@link FileCalls} through mknod(1), setfattr(1), getfattr(1) and touch(1), some milliseconds each. Every file is handed over as an open
 * descriptor, so that neither odd bytes in its name nor a symlink matter. Programs that are missing: ENOENT of `spawn`.
 */
export function programFileCalls(): FileCalls {
  return {
    mknod: makeNode,
    setXattr(path: Path, name: Path, value: Buffer): void {
      const content = value.length === 0 ? [] : ['-v', `0s${value.toString('base64')}`];
      must('lsetxattr', path, onFile(path, 'lsetxattr', 'setfattr', ['-n', name.toString(), ...content, '--', FILE]));
    },
    getXattr(path: Path, name: Path): Buffer | undefined {
      const result = onFile(path, 'lgetxattr', 'getfattr', ['--absolute-names', '--only-values', '-n', name.toString(), '--', FILE]);
      if (result.exitCode !== 0 && ['ENODATA', 'ENOTSUP'].includes(errnoOf(result.stderr))) return undefined;
      return must('lgetxattr', path, result);
    },
    listXattrs(path: Path): Buffer[] {
      const result = onFile(path, 'llistxattr', 'getfattr', ['--absolute-names', '-m', '-', '--', FILE]);
      if (result.exitCode !== 0 && errnoOf(result.stderr) === 'ENOTSUP') return [];
      const lines = must('llistxattr', path, result).toString('latin1').split('\n');
      return lines.filter((line) => line !== '' && !line.startsWith('# file: ')).map(decodeName);
    },
    setTimes(path: Path, accessed: bigint | undefined, modified: bigint | undefined): void {
      for (const [option, time] of [['-a', accessed] as const, ['-m', modified] as const])
        if (time !== undefined) must('utimensat', path, onFile(path, 'utimensat', 'touch', ['-c', option, '-d', `@${seconds(time)}`, '--', FILE]));
    },
    /** No program tells holes, so all is data. */
    dataExtents(_fd: number, size: number): Array<readonly [number, number]> {
      return size === 0 ? [] : [[0, size]];
    },
  };
}

interface ProgramResult {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly exitCode: number;
}

/** How a program names the file that it gets as descriptor 3. */
const FILE = '/proc/self/fd/3';
/** O_PATH | O_NOFOLLOW: any kind of file, a symlink as itself. */
const AS_ITSELF = 0o10000000 | constants.O_NOFOLLOW;
const SECOND = 1_000_000_000n;
const NODE_TYPES: ReadonlyMap<number, string> = new Map([
  [constants.S_IFCHR, 'c'],
  [constants.S_IFBLK, 'b'],
  [constants.S_IFIFO, 'p'],
]);

function makeNode(path: Path, mode: number, major: number, minor: number): void {
  const type = mode & constants.S_IFMT;
  const permissions = mode & 0o7777 & ~process.umask();
  if (type === constants.S_IFREG || type === 0) {
    writeFileSync(path, '', { flag: 'wx', mode: permissions });
    return;
  }
  const letter = NODE_TYPES.get(type);
  if (letter === undefined) throw systemError('EOPNOTSUPP', 'mknod', path.toString(), 'mknod(1) makes devices and pipes only');
  const bytes = typeof path === 'string' ? bytesOf(path) : path;
  const slash = bytes.lastIndexOf('/'.charCodeAt(0));
  const name = bytes.subarray(slash + 1).toString('utf8');
  if (!Buffer.from(name).equals(bytes.subarray(slash + 1)))
    throw systemError('EILSEQ', 'mknod', path.toString(), 'programs take names in UTF-8 only');
  const numbers = letter === 'p' ? [] : [String(major), String(minor)];
  const directory = slash < 0 ? Buffer.from('.') : bytes.subarray(0, slash + 1);
  must('mknod', path, onFile(directory, 'mknod', 'mknod', ['-m', permissions.toString(8), '--', `${FILE}/${name}`, letter, ...numbers]));
}

function onFile(path: Path, syscall: string, file: string, args: readonly string[]): ProgramResult {
  refuseNul(path, syscall);
  let fd: number;
  try {
    fd = openSync(typeof path === 'string' ? bytesOf(path) : path, AS_ITSELF);
  } catch (error) {
    throw isSystemError(error) ? systemError(error.errno, syscall, path.toString()) : error;
  }
  try {
    const { error, status, stdout, stderr } = spawnSync(file, args, {
      stdio: ['ignore', 'pipe', 'pipe', fd],
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    });
    if (error !== undefined) throw isSystemError(error) ? systemError(error.errno, 'spawn', file) : error;
    return { stdout, stderr: stderr.toString('utf8'), exitCode: status ?? 1 };
  } finally {
    closeSync(fd);
  }
}

function must(syscall: string, path: Path, { exitCode, stdout, stderr }: ProgramResult): Buffer {
  if (exitCode !== 0) throw programError(syscall, path.toString(), stderr, exitCode);
  return stdout;
}

/** '-1.500000000': a sign before the whole, as touch(1) reads it. */
function seconds(nanoseconds: bigint): string {
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  return `${nanoseconds < 0n ? '-' : ''}${size / SECOND}.${String(size % SECOND).padStart(9, '0')}`;
}

/** getfattr(1) prints odd bytes of a name in octal. */
function decodeName(line: string): Buffer {
  return Buffer.from(
    line.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    'latin1',
  );
}
