import { isAbsolute, join } from 'node:path';
import type { MountRequest } from '../kernel.ts';
import { isWithin } from '../mountinfo.ts';
import { DATA_BYTES, mountData, parseOptions } from '../mount-options.ts';
import { isSystemError, systemError } from '../system-error.ts';
import type { Found } from './path-walk.ts';
import { UnionFilesystem, type Branch } from './union-filesystem.ts';

/** What a union needs from the kernel around it. */
export interface UnionContext {
  /** Follows `path` to a place; fails as a path walk does. */
  readonly find: (path: string) => Found;
  readonly device: string;
  /** Without 'lowerdir+' the options have to fit into one string. */
  readonly lowerdirAppend: boolean;
  /** What over-long options give: our adapters' E2BIG, or the ENOENT of a kernel that cut them short. */
  readonly tooLong: 'E2BIG' | 'ENOENT';
  /** The longest option value in bytes, undefined for no limit. */
  readonly valueBytes: number | undefined;
}

/**
 * The file system that an overlay or aufs mount makes, with the checks of fs/overlayfs/super.c and aufs' branch.c that a caller can run into:
 * EINVAL for too few or too many branches, a missing workdir, upper and work in each other, an unknown option; ELOOP for layers that
 * overlap; ENOENT and ENOTDIR from the paths.
 */
export function makeUnion(request: MountRequest, context: UnionContext): UnionFilesystem {
  checkLength(request, context);
  const { branches, writable } = request.type === 'aufs' ? aufsBranches(request, context) : overlayBranches(request, context);
  const { words, superFlags } = parseOptions(request);
  return new UnionFilesystem({
    style: request.type === 'aufs' ? 'aufs' : 'overlay',
    source: request.source,
    device: context.device,
    superOptions: [superFlags.includes('ro') ? 'ro' : 'rw', ...words.map(([key, value]) => (value === undefined ? key : `${key}=${value}`))],
    branches,
    writable: writable && !superFlags.includes('ro'),
  });
}

interface Branches {
  readonly branches: readonly Branch[];
  readonly writable: boolean;
}

const LOWER_LAYERS = 500;
const OVERLAY_OPTIONS: readonly string[] =
  'redirect_dir,index,uuid,nfs_export,userxattr,xino,metacopy,verity,volatile,fsync,default_permissions'.split(',');

function checkLength(request: MountRequest, context: UnionContext): void {
  for (const [key, value = ''] of request.options ?? [])
    if (Buffer.byteLength(value) > (context.valueBytes ?? Infinity))
      throw systemError('E2BIG', 'mount', request.target, `the value of '${key}' has more than ${context.valueBytes} bytes`);
  const appended = (request.options ?? []).some(([key]) => key === 'lowerdir+');
  if (appended && context.lowerdirAppend) return;
  try {
    mountData(request);
  } catch (error) {
    if (isSystemError(error, 'E2BIG') && context.tooLong === 'ENOENT')
      throw systemError('ENOENT', 'mount', request.target, `options cut after ${DATA_BYTES} bytes`);
    throw error;
  }
}

function overlayBranches(request: MountRequest, { find }: UnionContext): Branches {
  const { words } = parseOptions(request);
  const valueOf = (key: string): string | undefined => words.findLast(([word]) => word === key)?.[1];
  for (const [key] of words) if (!PATH_OPTIONS.includes(key) && !OVERLAY_OPTIONS.includes(key)) throw invalid(request, `unknown parameter '${key}'`);
  const lowerPaths = words.flatMap(([key, value = '']) => (key === 'lowerdir+' ? [value] : key === 'lowerdir' ? value.split(':') : []));
  const lowers = lowerPaths.map((path) => directory(request, path, find));
  const [upperPath, workPath] = [valueOf('upperdir'), valueOf('workdir')];
  const upper = upperPath === undefined ? undefined : directory(request, upperPath, find);
  const work = workPath === undefined ? undefined : directory(request, workPath, find);
  if (lowers.length > LOWER_LAYERS) throw invalid(request, `too many lower directories, limit is ${LOWER_LAYERS}`);
  if (lowers.length === 0 || (lowers.length === 1 && upper === undefined)) throw invalid(request, 'too few layers');
  if (upper !== undefined && work === undefined) throw invalid(request, "missing 'workdir'");
  if (upper !== undefined && work !== undefined && (overlaps(upper, work) || upper.mount !== work.mount))
    throw invalid(request, 'workdir and upperdir must be separate subtrees of one mount');
  const layers = upper === undefined ? lowers : [upper, ...(work === undefined ? [] : [work]), ...lowers];
  layers.forEach((layer, index) => {
    if (layers.slice(0, index).some((other) => overlaps(layer, other))) throw systemError('ELOOP', 'mount', request.target, 'layers overlap');
  });
  const branches = upper === undefined ? lowers : [upper, ...lowers];
  return { branches: branches.map(toBranch), writable: upper !== undefined };
}

const PATH_OPTIONS: readonly string[] = ['lowerdir', 'lowerdir+', 'upperdir', 'workdir'];

/** 'dirs=<path>[=<permission>]:…', the first one writable with 'rw'. */
function aufsBranches(request: MountRequest, { find }: UnionContext): Branches {
  const { words } = parseOptions(request);
  const list = words.flatMap(([key, value = '']) => (key === 'dirs' || key === 'br' ? value.split(':') : []));
  const parsed = list.map((branch) => ({ path: branch.replace(/=[^=/]*$/, ''), permission: /=([^=/]*)$/.exec(branch)?.[1] ?? 'rw' }));
  const found = parsed.map(({ path }) => directory(request, path, find));
  if (found.length === 0) throw invalid(request, 'no branches');
  found.forEach((branch, index) => {
    if (found.slice(0, index).some((other) => overlaps(branch, other))) throw invalid(request, 'branches overlap');
  });
  return { branches: found.map(toBranch), writable: parsed[0]?.permission === 'rw' };
}

function directory(request: MountRequest, path: string, find: (path: string) => Found): Found {
  if (!isAbsolute(path) && request.directory === undefined) throw systemError('ENOENT', 'mount', path);
  const found = find(isAbsolute(path) ? path : join(request.directory ?? '/', path));
  if (found.type !== 'directory') throw invalid(request, `${path} is not a directory`);
  return found;
}

function overlaps(a: Found, b: Found): boolean {
  return a.mount.filesystem === b.mount.filesystem && (isWithin(a.path, b.path) || isWithin(b.path, a.path));
}

function toBranch({ mount, path }: Found): Branch {
  return { filesystem: mount.filesystem, path };
}

function invalid({ target }: MountRequest, why: string): Error {
  return systemError('EINVAL', 'mount', target, why);
}
