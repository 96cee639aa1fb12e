import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { release, userInfo } from 'node:os';
import { dirname } from 'node:path';
import type { BackendName } from '../backends/backend.ts';
import { type BackendAssessment, assessBackends } from '../backends/assess-backends.ts';
import { chooseBackend } from '../backends/choose-backend.ts';
import { isRootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import { openKernel } from '../linux/open-kernel.ts';
import { dockerStoreDir } from '../paths/docker-store.ts';
import { provisionerDir, statePath } from '../paths/provisioner.ts';
import { probeState } from '../stores/probe-state.ts';

/** What doctor found out; also its JSON document. */
export interface Examination {
  readonly root: string;
  readonly backends: readonly BackendAssessment[];
  /** The backend that would be used; absent where none works, with `refusal` saying why. */
  readonly chosen?: BackendName;
  readonly refusal?: string;
  readonly kernel: { readonly adapter: Kernel['name']; readonly release: string; readonly overlayLowerdirAppend: boolean };
  readonly node: string;
  readonly user: string;
  readonly directories: readonly DirectoryState[];
  /** Whether an engine holds the directory. */
  readonly index: 'absent' | 'free' | 'held';
}

interface DirectoryState {
  readonly name: string;
  /** Where the directory does not exist yet, the nearest one above it that does. */
  readonly path: string;
  readonly filesystem: string;
  readonly writable: boolean;
  readonly freeBytes: number;
}

/** Looks at this machine with the eyes of an engine on `root`. Nothing is changed. */
export async function examine(root: string, forced?: BackendName): Promise<Examination> {
  const kernel = await openKernel();
  const backends = await assessBackends({ kernel, provisionerDir: provisionerDir(root), storeDirs: [dockerStoreDir(root)] });
  return {
    root,
    backends,
    ...choose(backends, forced),
    kernel: { adapter: kernel.name, release: release(), overlayLowerdirAppend: kernel.features.overlayLowerdirAppend },
    node: `${process.version} ${process.platform} ${process.arch}`,
    user: process.getuid?.() === 0 ? 'root' : `${userInfo().username} (${process.getuid?.()})`,
    directories: await Promise.all([
      examineDirectory('provisioner', provisionerDir(root), kernel),
      examineDirectory('store', dockerStoreDir(root), kernel),
    ]),
    index: probeState(statePath(root)),
  };
}

function choose(backends: readonly BackendAssessment[], forced?: BackendName): { chosen: BackendName } | { refusal: string } {
  try {
    return { chosen: chooseBackend(backends, forced) };
  } catch (error) {
    if (isRootwrightError(error) && error.code === 'BACKEND_UNAVAILABLE') return { refusal: error.message };
    throw error;
  }
}

async function examineDirectory(name: string, wanted: string, kernel: Kernel): Promise<DirectoryState> {
  let path = wanted;
  while (!existsSync(path)) path = dirname(path);
  const { bavail, bsize } = statfsSync(path);
  return { name, path, filesystem: (await kernel.filesystemType(path)).name, writable: isWritable(path), freeBytes: bavail * bsize };
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
