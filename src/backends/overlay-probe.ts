import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileCalls, Kernel, MountRequest } from '../linux/kernel.ts';
import { isSystemError } from '../linux/system-error.ts';
import type { OnSwallowed } from './backend-options.ts';
import { reasonOf, removeWithMounts } from './directories.ts';

/** What a throw-away mount told of a directory's file system. Each is undefined where it could not be asked. */
export interface OverlayProbe {
  /** overlayfs takes directories of this file system. */
  readonly mount?: Finding;
  /** Whiteouts hide names in listings: the file system tells types in readdir(3) (`d_type`), and takes the 0:0 devices that whiteouts are. */
  readonly whiteouts?: Finding;
  /** Opaque directories hide what is below: the file system takes trusted.* attributes, and this process may set them. */
  readonly opaque?: Finding;
}

export interface Finding {
  readonly ok: boolean;
  readonly why: string;
}

/**
 * Asks the kernel whether it mounts and unmounts here at all, with a read-only bind of one empty directory on another. This is CAP_SYS_ADMIN
 * as it counts, whatever the user id is. Makes a directory in `directory` and takes it away again.
 */
export function probeMounting(kernel: Kernel, directory: string, onSwallowed?: OnSwallowed): Promise<Finding> {
  return withProbeDirectory(kernel, directory, onSwallowed, async (probe) => {
    const [source, target] = [join(probe, 'source'), join(probe, 'target')];
    for (const path of [source, target]) mkdirSync(path);
    try {
      await kernel.bind(source, target, { readOnly: true });
    } catch (error) {
      if (isSystemError(error, 'EPERM', 'EACCES')) return { ok: false, why: 'mounting needs root (CAP_SYS_ADMIN) in this mount namespace' };
      return { ok: false, why: `a bind mount failed: ${reasonOf(error)}` };
    }
    await kernel.unmount(target, { detach: true });
    return { ok: true, why: 'a bind mount worked' };
  });
}

/**
 * Mounts an overlay with a whiteout and an opaque directory, and looks whether they hide what they should: the kernel mounts without `d_type`
 * or attributes too, with a line in its log, and then shows deleted files. As `upper` the directory is where writable layers will be,
 * as `lower` it is where layers are kept. Takes all away again. Node's own readdir can't tell: it asks lstat(2) where `d_type` is missing.
 */
export function probeOverlay(kernel: Kernel, directory: string, role: 'upper' | 'lower', onSwallowed?: OnSwallowed): Promise<OverlayProbe> {
  return withProbeDirectory(kernel, directory, onSwallowed, async (probe) => {
    const at = (...names: string[]): string => join(probe, ...names);
    for (const path of [at('below'), at('below', 'dir'), at('above'), at('above', 'dir'), at('work'), at('merged')]) mkdirSync(path);
    for (const path of [at('below', 'gone'), at('below', 'dir', 'gone')]) writeFileSync(path, '');
    const whiteout = tryTo('make a whiteout device', () => kernel.files.mknod(at('above', 'gone'), S_IFCHR | 0o600, 0, 0));
    const opaque = tryTo('set trusted.overlay.opaque', () => markOpaque(kernel.files, at('above', 'dir')));
    try {
      await kernel.mount(requestFor(probe, role));
    } catch (error) {
      return {
        mount: { ok: false, why: `a probe mount failed: ${reasonOf(error)}` },
        ...(whiteout && { whiteouts: whiteout }),
        ...(opaque && { opaque }),
      };
    }
    const showsFile = namesIn(at('merged')).includes('gone');
    const showsBelow = namesIn(at('merged', 'dir')).includes('gone');
    await kernel.unmount(at('merged'), { detach: true });
    return {
      mount: { ok: true, why: 'a probe mount worked' },
      whiteouts: whiteout ?? {
        ok: !showsFile,
        why: showsFile ? 'no d_type in directories: deleted files would show (xfs: mkfs with ftype=1)' : 'whiteouts hide files',
      },
      opaque: opaque ?? {
        ok: !showsBelow,
        why: showsBelow ? 'opaque directories do not hide what is below them' : 'opaque directories hide what is below',
      },
    };
  });
}

const S_IFCHR = 0o020000;
const PROBE = '.probe-';

function requestFor(probe: string, role: 'upper' | 'lower'): MountRequest {
  const mount = { type: 'overlay', source: 'overlay', target: join(probe, 'merged'), directory: probe };
  if (role === 'lower') return { ...mount, readOnly: true, options: [['lowerdir', 'above:below']] };
  return {
    ...mount,
    options: [
      ['lowerdir', 'below'],
      ['upperdir', 'above'],
      ['workdir', 'work'],
    ],
  };
}

function markOpaque(files: FileCalls, directory: string): void {
  files.setXattr(directory, 'trusted.overlay.opaque', Buffer.from('y'));
}

function tryTo(what: string, call: () => void): Finding | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return { ok: false, why: `cannot ${what}: ${reasonOf(error)}` };
  }
}

/** What does not show holds nothing. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

/** A private directory for `body`, gone afterwards with all that is mounted in it; what killed processes left of theirs goes as well. */
async function withProbeDirectory<T>(
  kernel: Kernel,
  directory: string,
  onSwallowed: OnSwallowed | undefined,
  body: (probe: string) => Promise<T>,
): Promise<T> {
  const remove = async (path: string): Promise<void> => {
    await removeWithMounts(kernel, path).catch((error: unknown) => onSwallowed?.(`remove ${path}`, error));
  };
  for (const name of readdirSync(directory)) if (name.startsWith(PROBE) && isDead(name)) await remove(join(directory, name));
  const probe = join(directory, `${PROBE}${process.pid}-${randomUUID()}`);
  mkdirSync(probe, 0o700);
  try {
    return await body(probe);
  } finally {
    await remove(probe);
  }
}

/** Whether the process that a probe directory is named after has ended. */
function isDead(name: string): boolean {
  const pid = Number(name.slice(PROBE.length).split('-')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return isSystemError(error, 'ESRCH');
  }
}
