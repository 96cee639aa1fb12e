import { closeSync, lstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './exec.ts';
import type { MountRequest } from './kernel.ts';
import { isPathOption, mountData, parseOptions } from './mount-options.ts';
import { hasEscapedBytes, refuseNul } from './path-bytes.ts';
import { readFilesystems } from './proc-files.ts';
import { isSystemError, systemError } from './system-error.ts';
import { programError } from './util-linux-errors.ts';

/**
 * Mounts with mount(8), by mount(2) and one string. Relative paths start from `request.directory`, where the program runs: its own working
 * directory keeps each at a few bytes, so that this way takes more layers than a descriptor's name before each would.
 */
export async function mountByProgram(request: MountRequest): Promise<void> {
  const { source, target, type, directory } = request;
  checkTarget(target, 'mount');
  const fds: number[] = [];
  try {
    const plain = withoutOddPaths(request, (path) => fds.push(openSync(path, BY_PATH)) + 2);
    const data = mountData(plain);
    const all = [...parseOptions(request).generic, ...(data === '' ? [] : [data])].join(',');
    const options = all === '' ? [] : ['-o', all];
    const args = [...MOUNT, '-t', type, ...options, '--', source, target];
    const { exitCode, stderr } = await run('mount', args, { env: ENVIRONMENT, fds, ...(directory === undefined ? {} : { cwd: directory }) });
    if (exitCode === 0) return;
    // mount(8) has the same words for an unknown type as for a bad option
    if (!readFilesystems().has(type)) throw systemError('ENODEV', 'mount', target, stderr.trim());
    throw programError('mount', target, stderr, exitCode);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** Of mount(8) and umount(8): neither mtab nor a helper program, and paths as they are. */
export const MOUNT = ['-n', '-i', '-c'] as const;
export const UNMOUNT = ['-n', '-i', '-c'] as const;
const BY_PATH = 0o10000000;
/** From 2.39 on mount(8) would use fsconfig(2), whose values end at 255 bytes. */
const ENVIRONMENT = { LIBMOUNT_FORCE_MOUNT2: 'always' };

/** mount(8) has its own idea of '"' and ',', and a list of ':': a path with one of these is handed to it as a descriptor. */
function withoutOddPaths(request: MountRequest, descriptorOf: (path: string) => number): MountRequest {
  const options = (request.options ?? []).map(([key, value]): readonly [string, string?] => {
    if (value === undefined || !isPathOption(request.type, key) || !/[^\w./+@%~-]/.test(value)) return value === undefined ? [key] : [key, value];
    return [key, `/proc/self/fd/${descriptorOf(value.startsWith('/') ? value : join(request.directory ?? '/', value))}`];
  });
  return { ...request, options };
}

/** Runs one of the programs; its failure is a SystemError of `syscall`, the call that the program stands for. */
export async function program(syscall: string, path: string, args: readonly string[], file = 'mount'): Promise<void> {
  const { exitCode, stderr } = await run(file, args, { env: ENVIRONMENT });
  if (exitCode !== 0) throw programError(syscall, path, stderr, exitCode);
}

/** Fails where `target` can't be a mount point. The programs would follow a symlink, and call a missing target by several names. */
export function checkTarget(target: string, syscall: string): void {
  if (hasEscapedBytes(target)) throw systemError('EILSEQ', syscall, target, 'programs take paths in UTF-8 only');
  refuseNul(target, syscall);
  try {
    if (lstatSync(target).isSymbolicLink()) throw systemError('EINVAL', syscall, target, 'the target is a symbolic link');
  } catch (error) {
    throw isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP') ? systemError(error.errno, syscall, target) : error;
  }
}
