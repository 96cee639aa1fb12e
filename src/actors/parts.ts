import type { Backend } from '../backends/backend.ts';
import type { Kernel } from '../linux/kernel.ts';
import type { Logger } from '../logging.ts';
import type { Metrics } from '../metrics.ts';
import type { Platform, Store } from '../stores/store.ts';
import type { GroupedSync } from './grouped-sync.ts';

/** What the provisioner works with; the engine opens them, tests bring their own. */
export interface ProvisionerParts {
  /** Absolute, with no symlink in it: unmounting compares paths with the mount table. */
  readonly root: string;
  readonly kernel: Kernel;
  /** Every backend that this build has: each can take apart what it once made, whether it can provision here or not. */
  readonly backends: ReadonlyMap<string, Backend>;
  /** The backend for a new rootfs: the one asked for, else the default. Fails with BACKEND_UNAVAILABLE. */
  readonly chooseBackend: (name?: string) => Backend;
  readonly stores: readonly Store[];
  /** Asked of image indexes; the machine's own by default. */
  readonly platform?: Platform | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly syncs: GroupedSync;
}

/** Counts and logs an error that stops nothing. `place` is a constant of the code, never a path or an id. */
export function swallow(parts: Pick<ProvisionerParts, 'metrics' | 'logger'>, place: string, error: unknown, facts: object = {}): void {
  parts.metrics.increment('swallowed_errors_total', { place });
  parts.logger.warn({ ...facts, err: error }, `${place}: ${error instanceof Error ? error.message : String(error)}`);
}
