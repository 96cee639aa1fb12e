import type { MountRequest } from './kernel.ts';
import { systemError } from './system-error.ts';

/**
 * Mount options as the two mount interfaces take them. Options that belong to the mount or to every file system become flags; those of the
 * file system itself stay words, which {@link mountData} makes one string for mount(2), and koffi-mount.ts one fsconfig(2) call each.
 */
export interface ParsedOptions {
  /** MS_* for mount(2). */
  readonly flags: number;
  /** MOUNT_ATTR_* for fsmount(2). */
  readonly attributes: number;
  /** File system wide flags by name, for fsconfig(2) ('ro', 'sync'). */
  readonly superFlags: readonly string[];
  /** The options that became flags, as words for mount(8). */
  readonly generic: readonly string[];
  /** What only the file system understands, in order. */
  readonly words: ReadonlyArray<readonly [key: string, value?: string]>;
}

/** mount(2) data: a page less its terminator. The kernel cuts what is longer without a word. */
export const DATA_BYTES = 4095;
/** One fsconfig(2) value: 256 bytes with its terminator. */
export const VALUE_BYTES = 255;

export function parseOptions(request: MountRequest): ParsedOptions {
  const all = [...(request.options ?? []), ...(request.readOnly === true ? [['ro'] as const] : [])];
  const known = all.flatMap(([key, value]) => (value === undefined ? [GENERIC[key] ?? []] : [])).flat();
  return {
    flags: known.reduce((flags, { flag }) => flags | flag, 0),
    attributes: known.reduce((attributes, { attribute }) => attributes | attribute, 0),
    superFlags: known.flatMap(({ superFlag }) => superFlag ?? []),
    generic: all.flatMap(([key, value]) => (value === undefined && GENERIC[key] !== undefined ? [key] : [])),
    words: all.filter(([key, value]) => value !== undefined || GENERIC[key] === undefined),
  };
}

/** Options whose value is one path: fsconfig(2) takes these as a file descriptor too where the kernel is new enough. */
export function isPathOption(type: string, key: string): boolean {
  return type === 'overlay' && ['lowerdir+', 'datadir+', 'upperdir', 'workdir'].includes(key);
}

/**
 * The words as mount(2) takes them, each relative path with `prefix` before it. overlayfs reads `\` escapes, so its ',' and '\' are
 * escaped, and a run of 'lowerdir+' becomes the one 'lowerdir' it stands for, ':' escaped too. Other file systems have no escape: EINVAL
 * for a ','. E2BIG past {@link DATA_BYTES}.
 */
export function mountData(request: MountRequest, prefix = ''): string {
  const { words } = parseOptions(request);
  const overlay = request.type === 'overlay';
  const appended = overlay
    ? words.filter(([key]) => key === 'lowerdir+').map(([, value]) => escapeFor(OVERLAY_LIST, prefixed(prefix, value ?? '')))
    : [];
  const data = [
    ...(appended.length > 0 ? [`lowerdir=${appended.join(':')}`] : []),
    ...words.filter(([key]) => !overlay || key !== 'lowerdir+').map(([key, value]) => word(request, key, value, prefix)),
  ].join(',');
  const bytes = Buffer.byteLength(data);
  if (bytes > DATA_BYTES) throw tooLong(request, `the mount options take ${bytes} bytes, mount(2) takes at most ${DATA_BYTES}`);
  return data;
}

/** E2BIG, for options that no interface of this kernel can take whole. */
export function tooLong(request: MountRequest, why: string): Error {
  return systemError('E2BIG', 'mount', request.target, why);
}

/** A list-valued option with `prefix` before each relative path: overlay's 'lowerdir=a:b', aufs' 'dirs=w=rw:l=ro+wh'. */
export function prefixList(type: string, key: string, value: string, prefix: string): string {
  if (prefix === '' || !isListOption(type, key)) return value;
  return value
    .split(/(?<!\\):/)
    .map((path) => prefixed(prefix, path))
    .join(':');
}

interface GenericOption {
  readonly flag: number;
  readonly attribute: number;
  readonly superFlag?: string;
}

/** include/uapi/linux/mount.h: MS_* and MOUNT_ATTR_*. */
const GENERIC: Readonly<Record<string, GenericOption | undefined>> = {
  rw: { flag: 0, attribute: 0 },
  ro: { flag: 1, attribute: 0x1, superFlag: 'ro' },
  nosuid: { flag: 2, attribute: 0x2 },
  nodev: { flag: 4, attribute: 0x4 },
  noexec: { flag: 8, attribute: 0x8 },
  nosymfollow: { flag: 256, attribute: 0x20_0000 },
  noatime: { flag: 1024, attribute: 0x10 },
  nodiratime: { flag: 2048, attribute: 0x80 },
  relatime: { flag: 1 << 21, attribute: 0 },
  strictatime: { flag: 1 << 24, attribute: 0x20 },
  sync: { flag: 16, attribute: 0, superFlag: 'sync' },
  dirsync: { flag: 128, attribute: 0, superFlag: 'dirsync' },
  lazytime: { flag: 1 << 25, attribute: 0, superFlag: 'lazytime' },
};

const OVERLAY_VALUE = /[\\,]/g;
const OVERLAY_LIST = /[\\,:]/g;

function escapeFor(special: RegExp, value: string): string {
  return value.replace(special, (character) => `\\${character}`);
}

function prefixed(prefix: string, path: string): string {
  return prefix === '' || path.startsWith('/') ? path : prefix + path;
}

function isListOption(type: string, key: string): boolean {
  return type === 'overlay' ? key === 'lowerdir' : type === 'aufs' && ['dirs', 'br'].includes(key);
}

function word(request: MountRequest, key: string, value: string | undefined, prefix: string): string {
  if (value === undefined) return key;
  const { type, target } = request;
  if (isPathOption(type, key)) return `${key}=${escapeFor(OVERLAY_VALUE, prefixed(prefix, value))}`;
  const full = prefixList(type, key, value, prefix);
  if (type === 'overlay') return `${key}=${escapeFor(OVERLAY_VALUE, full)}`;
  if (full.includes(',')) throw systemError('EINVAL', 'mount', target, `the value of '${key}' holds a ',', which ${type} can't take`);
  return `${key}=${full}`;
}
