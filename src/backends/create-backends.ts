import { AufsBackend } from './aufs.ts';
import type { Backend, BackendName } from './backend.ts';
import type { BackendOptions } from './backend-options.ts';
import { BindBackend } from './bind.ts';
import { CopyBackend } from './copy.ts';
import { OverlayBackend } from './overlay.ts';

/**
 * Every backend, whether it can provision here or not: each can take apart what it once made, also after its file system type went from the
 * kernel. Which one is for new rootfses says chooseBackend.
 */
export function createBackends(options: BackendOptions & { readonly copyThreads?: number }): Map<BackendName, Backend> {
  const { copyThreads, ...common } = options;
  const backends: Backend[] = [
    new OverlayBackend(common),
    new AufsBackend(common),
    new BindBackend(common),
    new CopyBackend({ ...common, ...(copyThreads !== undefined && { threads: copyThreads }) }),
  ];
  return new Map(backends.map((backend) => [backend.name, backend]));
}
