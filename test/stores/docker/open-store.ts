import { join } from 'node:path';
import { openKernel } from '../../../src/linux/open-kernel.ts';
import { dockerStoreDir } from '../../../src/paths/docker-store.ts';
import { statePath } from '../../../src/paths/provisioner.ts';
import { DockerStore, type DockerStoreOptions } from '../../../src/stores/docker/docker-store.ts';
import { openState, type State } from '../../../src/stores/state.ts';

/** A docker store below `root` with its own index; `close` ends both. */
export async function openStore(
  root: string,
  options: Partial<DockerStoreOptions> = {},
): Promise<{ store: DockerStore; state: State; directory: string; close: () => Promise<void> }> {
  const state = await openState(statePath(root));
  const directory = dockerStoreDir(root);
  const store = await DockerStore.open({ directory, kernel: options.kernel ?? (await openKernel()), state, ...options });
  const close = async (): Promise<void> => {
    await store.close();
    state.close();
  };
  return { store, state, directory, close };
}

/** Below `root`. */
export const transientDirectories = (root: string): string[] => ['staging', 'gc'].map((name) => join(dockerStoreDir(root), name));
