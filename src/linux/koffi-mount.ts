import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { MountRequest } from './kernel.ts';
import { check, toC, type Libc } from './libc.ts';
import { isPathOption, mountData, parseOptions, prefixList, VALUE_BYTES } from './mount-options.ts';
import { bytesOf, refuseNul } from './path-bytes.ts';
import { isSystemError, systemError } from './system-error.ts';
import { mountByProgram } from './util-linux-mount.ts';

/** What the kernel's mount interfaces offer; see {@link probeMountApi}. */
export interface MountApi {
  /** fsopen(2) and its kin (Linux 5.2). */
  readonly contexts: boolean;
  /** overlay's 'lowerdir+' (Linux 6.8). */
  readonly lowerdirAppend: boolean;
  /** overlay takes a directory as a file descriptor (Linux 6.13), which has neither length nor odd characters, and shows by its path in mountinfo. */
  readonly pathByFd: boolean;
}

/** Tries each on a scratch context of overlay, which mounts nothing. All false where contexts are missing or not allowed. */
export function probeMountApi(libc: Libc): MountApi {
  const context = libc.fsopen('overlay', FSOPEN_CLOEXEC);
  if (context < 0) return { contexts: context !== -ENOSYS, lowerdirAppend: false, pathByFd: false };
  const root = openSync('/', DIRECTORY_BY_PATH);
  try {
    return {
      contexts: true,
      lowerdirAppend: libc.fsconfig(context, SET_STRING, 'lowerdir+', '/', 0) >= 0,
      pathByFd: libc.fsconfig(context, SET_FD, 'lowerdir+', null, root) >= 0,
    };
  } finally {
    closeSync(root);
    closeSync(context);
  }
}

/**
 * Mounts by the new mount interface where its values hold the options, else by mount(2) with one string. Directories that are too long, or
 * that start from `request.directory` and would be too long, are opened for the call and named by their descriptor.
 */
export async function mountFilesystem(libc: Libc, api: MountApi, request: MountRequest): Promise<void> {
  const opened: number[] = [];
  const open = (path: string): number => {
    const fd = openSync(bytesOf(path), DIRECTORY_BY_PATH);
    opened.push(fd);
    return fd;
  };
  try {
    const steps = api.contexts ? contextSteps(api, request, open) : undefined;
    if (steps === undefined) await mountByData(libc, request, open);
    else await mountByContext(libc, request, steps);
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

/** mount(2) follows a symlink as its target, move_mount(2) does not: we never do. */
export function refuseSymlink(target: string): void {
  refuseNul(target, 'mount');
  let link: boolean;
  try {
    link = lstatSync(bytesOf(target)).isSymbolicLink();
  } catch (error) {
    throw isSystemError(error) ? systemError(error.errno, 'mount', target) : error;
  }
  if (link) throw systemError('EINVAL', 'mount', target, 'the target is a symbolic link');
}

/** One fsconfig(2) call. */
interface Step {
  readonly command: number;
  readonly key: string;
  readonly value: string | null;
  readonly fd: number;
}

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const AT_FDCWD = -100;
const [SET_FLAG, SET_STRING, SET_FD, CMD_CREATE] = [0, 1, 5, 6];
const ENOSYS = 38;
const ENODATA = 61;
/** O_PATH has one value on all our architectures; node:fs does not name it. O_CLOEXEC is libuv's own habit. */
const DIRECTORY_BY_PATH = 0o10000000 | constants.O_DIRECTORY;

/** undefined where a value fits no fsconfig(2) call, so that only mount(2) is left. */
function contextSteps(api: MountApi, request: MountRequest, open: (path: string) => number): Step[] | undefined {
  const { superFlags, words } = parseOptions(request);
  const steps: Step[] = superFlags.map((key) => ({ command: SET_FLAG, key, value: null, fd: 0 }));
  if (!fits(request.source)) return undefined;
  steps.push({ command: SET_STRING, key: 'source', value: request.source, fd: 0 });
  const prefix = request.directory === undefined ? '' : join(request.directory, '/');
  for (const [key, value] of words) {
    if (value === undefined) steps.push({ command: SET_FLAG, key, value: null, fd: 0 });
    else if (isPathOption(request.type, key)) {
      if (key === 'lowerdir+' && !api.lowerdirAppend) return undefined;
      steps.push(pathStep(api, key, isAbsolute(value) ? value : prefix + value, open));
    } else {
      const full = prefixList(request.type, key, value, listPrefix(request.directory, open));
      if (!fits(full)) return undefined;
      // overlayfs reads escapes in its list; in no other value does the new interface need any
      const escaped = request.type === 'overlay' && key === 'lowerdir' ? full.replaceAll('\\', '\\\\') : full;
      if (!fits(escaped)) return undefined;
      steps.push({ command: SET_STRING, key, value: escaped, fd: 0 });
    }
  }
  return steps;
}

/** What a list puts before each of its relative paths: the directory by its name, or by descriptor where that name would split the list. */
function listPrefix(directory: string | undefined, open: (path: string) => number): string {
  if (directory === undefined) return '';
  return /[\\:,]/.test(directory) ? `/proc/self/fd/${open(directory)}/` : join(directory, '/');
}

/** By its name where that fits, so that mountinfo shows it; else by descriptor. overlayfs takes a '\' in upperdir and workdir for an escape. */
function pathStep(api: MountApi, key: string, path: string, open: (path: string) => number): Step {
  if (fits(path) && !path.includes('\\')) return { command: SET_STRING, key, value: path, fd: 0 };
  const fd = open(path);
  return api.pathByFd ? { command: SET_FD, key, value: null, fd } : { command: SET_STRING, key, value: `/proc/self/fd/${fd}`, fd: 0 };
}

function fits(value: string): boolean {
  return value.length <= VALUE_BYTES && Buffer.byteLength(value) <= VALUE_BYTES;
}

async function mountByContext(libc: Libc, request: MountRequest, steps: readonly Step[]): Promise<void> {
  const { type, target } = request;
  const context = check(libc.fsopen(toC(type), FSOPEN_CLOEXEC), 'fsopen', type);
  let call = 'fsconfig';
  try {
    for (const { command, key, value, fd } of steps) {
      call = `fsconfig ${key}`;
      check(libc.fsconfig(context, command, key, value === null ? null : toC(value), fd), call, value ?? target);
    }
    call = 'fsconfig create';
    check(await libc.fsconfig.later(context, CMD_CREATE, null, null, 0), call, target);
    const mount = check(libc.fsmount(context, FSMOUNT_CLOEXEC, parseOptions(request).attributes), 'fsmount', target);
    try {
      check(libc.moveMount(mount, '', AT_FDCWD, toC(target), MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target);
    } finally {
      closeSync(mount);
    }
  } catch (error) {
    throw isSystemError(error) ? systemError(error.errno, error.syscall, error.path, explain(context, request, call)) : error;
  } finally {
    closeSync(context);
  }
}

/** What the kernel says in the context about a failure ('e overlay: Unknown parameter …'); overlayfs says most of it in its log only. */
function explain(context: number, { type }: MountRequest, call: string): string {
  const messages: string[] = [];
  const buffer = Buffer.alloc(4096);
  try {
    for (;;) {
      const bytes = readSync(context, buffer, 0, buffer.length, null);
      messages.push(buffer.toString('utf8', 2, bytes).trim());
    }
  } catch (error) {
    if (!isSystemError(error, 'ENODATA') && (error as NodeJS.ErrnoException).errno !== -ENODATA) throw error;
  }
  if (messages.length > 0) return messages.join('; ');
  return type === 'overlay' && call === 'fsconfig create' ? 'the kernel log (dmesg) may say why' : '';
}

/** Where a descriptor's name before each path makes too long a string, a program with its own working directory needs none. */
async function mountByData(libc: Libc, request: MountRequest, open: (path: string) => number): Promise<void> {
  const prefix = request.directory === undefined ? '' : `/proc/self/fd/${open(request.directory)}/`;
  const { source, target, type } = request;
  let data: string;
  try {
    data = mountData(request, prefix);
  } catch (error) {
    if (request.directory === undefined || !isSystemError(error, 'E2BIG')) throw error;
    await mountByProgram(request);
    return;
  }
  refuseSymlink(target);
  check(await libc.mount.later(toC(source), toC(target), toC(type), parseOptions(request).flags, data === '' ? null : toC(data)), 'mount', target);
}
