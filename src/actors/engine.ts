import { realpathSync } from 'node:fs';
import { assessBackends, type BackendAssessment } from '../backends/assess-backends.ts';
import type { Backend, BackendName } from '../backends/backend.ts';
import { chooseBackend } from '../backends/choose-backend.ts';
import { createBackends } from '../backends/create-backends.ts';
import { listEphemeralVolumes } from '../backends/ephemeral-volumes.ts';
import { RootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import { makeDirectories } from '../linux/make-directories.ts';
import { openKernel } from '../linux/open-kernel.ts';
import { silentLogger } from '../logging.ts';
import { MemoryMetrics, type Metrics } from '../metrics.ts';
import { dockerStoreDir } from '../paths/docker-store.ts';
import { containersDir, provisionerDir, statePath } from '../paths/provisioner.ts';
import type { LayerUnpacker } from '../stores/layers/unpack.ts';
import { DockerStore } from '../stores/docker/docker-store.ts';
import { openState, type State } from '../stores/state.ts';
import type { ImageInfo, ImageSummary, PruneReport } from '../stores/store.ts';
import { checkEngineOptions, type EngineOptions } from './engine-options.ts';
import { GroupedSync } from './grouped-sync.ts';
import type { InspectedContainer } from './inspect.ts';
import { swallow, type ProvisionerParts } from './parts.ts';
import type { Provisioned } from './provision.ts';
import type { PruneRequest } from './prune.ts';
import { Provisioner, type ListedContainer, type ProvisionOptions, type PullOptions } from './provisioner.ts';
import type { RecoveryReport } from './recovery-report.ts';
import { throwIfAborted } from './runtime/abort.ts';
import { dispatch } from './runtime/dispatch.ts';
import type { ProcessInfo } from './runtime/observe.ts';
import type { PID } from './runtime/process.ts';
import { ActorSystem } from './runtime/system.ts';

/**
 * Opens the engine on `options.root`: takes the directory (one engine at a time), opens the kernel, chooses the default backend, opens the
 * store, and, unless `recover` is false, puts everything in order as {@link Engine.recover} without `known` does.
 *
 * Fails with INVALID_OPTION, ROOT_LOCKED, BACKEND_UNAVAILABLE, INDEX_CORRUPT, IO_ERROR; ABORTED while it waits for the directory. After a
 * failure nothing is held.
 */
export async function createEngine(options: EngineOptions, signal?: AbortSignal): Promise<Engine> {
  const { lockWaitMs, onLockWait, recover } = checkEngineOptions(options);
  const root = openRoot(options.root);
  const waiting = { waitMs: lockWaitMs ?? 0, ...(onLockWait === undefined ? {} : { onWait: onLockWait }) };
  const state = await openState(statePath(root), waiting, signal);
  let store: DockerStore | undefined;
  try {
    const kernel = await kernelOf(options.kernel);
    store = await openStore(root, kernel, state, options);
    const engine = await assemble(root, kernel, store, state, options);
    throwIfAborted('createEngine', signal);
    if (recover ?? true) await engine.recover();
    return engine;
  } catch (error) {
    await store?.close();
    state.close();
    throw error;
  }
}

/**
 * An engine at work on one directory. Every method that does work takes an AbortSignal last; once aborted it settles only when the work has
 * really stopped, with ABORTED. After {@link close} every method fails with ENGINE_CLOSED.
 */
export class Engine {
  /** The directory, without symlinks. */
  readonly root: string;
  /** Where this engine counts; by default a MemoryMetrics with a `snapshot()`. */
  readonly metrics: Metrics;
  /** What each backend needs, and whether it is there: what `rootwright doctor` prints. */
  readonly assessments: readonly BackendAssessment[];
  /** The backend of new rootfses. */
  readonly backend: BackendName;
  readonly #system: ActorSystem;
  readonly #provisioner: PID<Provisioner>;
  readonly #release: () => Promise<void>;
  #closed: Promise<void> | undefined;

  /** Use {@link createEngine}. */
  constructor(parts: ProvisionerParts, assessments: readonly BackendAssessment[], release: () => Promise<void>) {
    this.root = parts.root;
    this.metrics = parts.metrics;
    this.assessments = assessments;
    this.backend = parts.chooseBackend().name;
    this.#system = new ActorSystem();
    this.#provisioner = this.#system.spawn(new Provisioner(parts), { name: 'provisioner', mailbox: 'interleaved' });
    this.#release = release;
  }

  /**
   * Puts the directory in order after any crash. With `known` every other container is destroyed, nested ones first, unless a known one is
   * nested in it; without it those stay that have a rootfs that is whole, or a nested container that has. What was interrupted is taken
   * apart, what is damaged is set aside, the store is swept. Nothing stops it: what could not be put right is in the report, and the next
   * recovery tries again. With `plan` it changes nothing and only tells.
   *
   * Fails with INVALID_CONTAINER_ID, IO_ERROR; ABORTED while it waits for work under way, once begun it finishes.
   */
  recover(
    options: { readonly known?: Iterable<string> | undefined; readonly plan?: boolean | undefined } = {},
    signal?: AbortSignal,
  ): Promise<RecoveryReport> {
    return this.#ask((provisioner) => dispatch(provisioner, 'recover', options, signal));
  }

  /**
   * Makes a root filesystem for `container` from `image`, pulling what is missing. A container may have several: each call adds one. When
   * it succeeds the tree stands at `rootfs`, and its layers are safe from prune, by a durable checkpoint, until the container is destroyed.
   *
   * Fails with INVALID_CONTAINER_ID, INVALID_IMAGE_NAME, BACKEND_UNAVAILABLE, CONTAINER_DESTROYING, PROVISION_DESTROYED (a destroy came),
   * CHECKPOINT_FAILED, NOT_RECOVERED, and what Store.get and Backend.provision fail with. On abort, and after any failure, nothing of this
   * rootfs is left; the layers that were finished stay in the store.
   */
  provision(container: string, image: string, options: ProvisionOptions = {}, signal?: AbortSignal): Promise<Provisioned> {
    return this.#ask((provisioner) => dispatch(provisioner, 'provision', container, image, options, signal));
  }

  /**
   * Takes `container` apart with all its rootfses and everything nested in it; provisions of them under way are aborted. True when it is
   * gone, false where there was none. Concurrent calls share one result.
   *
   * Fails with DESTROY_FAILED (`details.failures` names each thing that stayed) and can then be called again; INVALID_CONTAINER_ID;
   * NOT_RECOVERED. An abort is heard while it waits for a prune; once begun it finishes.
   */
  destroy(container: string, signal?: AbortSignal): Promise<boolean> {
    return this.#ask((provisioner) => dispatch(provisioner, 'destroy', container, signal));
  }

  /**
   * Removes every image but `exclude`, and every layer and config that neither those nor any container uses. It waits for the work under
   * way, and later work waits for it. With `dryRun` it only tells. Fails with PRUNE_FAILED, INVALID_IMAGE_NAME, NOT_RECOVERED; ABORTED
   * while it waits, once begun it finishes.
   */
  prune(options: PruneRequest = {}, signal?: AbortSignal): Promise<PruneReport> {
    return this.#ask((provisioner) => dispatch(provisioner, 'prune', options, signal));
  }

  /** Brings an image into the store without a container, in the default backend's form unless `form` says otherwise. Fails as Store.get does. */
  pull(image: string, options: PullOptions = {}, signal?: AbortSignal): Promise<ImageInfo> {
    return this.#ask((provisioner) => dispatch(provisioner, 'pull', image, options, signal));
  }

  /** Every container. */
  list(): Promise<ListedContainer[]> {
    return this.#ask((provisioner) => dispatch(provisioner, 'list'));
  }

  /** All that is known of one container. Fails with CONTAINER_NOT_FOUND, IO_ERROR. */
  inspect(container: string): Promise<InspectedContainer> {
    return this.#ask((provisioner) => dispatch(provisioner, 'inspect', container));
  }

  /** Every image in the store. */
  images(): Promise<ImageSummary[]> {
    return this.#ask((provisioner) => dispatch(provisioner, 'images'));
  }

  /** The writable directories of all rootfses that a disk quota must count, nested containers included. */
  ephemeralVolumes(): Promise<string[]> {
    return this.#ask(() => listEphemeralVolumes(this.root));
  }

  /** The actors of this engine: turns waiting, run, and how long they took. */
  processes(): ProcessInfo[] {
    return this.#system.processes();
  }

  /**
   * Aborts what is under way (destroys finish), waits until it has stopped, and lets go of the directory. Rootfses stay. Never fails;
   * a second call gives the same promise.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    try {
      await dispatch(this.#provisioner, 'shutDown');
      await this.#system.close();
    } finally {
      await this.#release();
    }
  }

  #ask<T>(ask: (provisioner: PID<Provisioner>) => Promise<T>): Promise<T> {
    if (this.#closed === undefined) return ask(this.#provisioner);
    return Promise.reject(new RootwrightError('ENGINE_CLOSED', 'the engine is closed'));
  }
}

async function assemble(root: string, kernel: Kernel, store: DockerStore, state: State, options: EngineOptions): Promise<Engine> {
  const metrics = options.metrics ?? new MemoryMetrics();
  const logger = (options.logger ?? silentLogger).child({ process: 'provisioner' });
  const onSwallowed = (what: string, error: unknown): void => swallow({ metrics, logger }, 'backend', error, { what });
  const backends = createBackends({ kernel, onSwallowed, ...(options.copyThreads === undefined ? {} : { copyThreads: options.copyThreads }) });
  const assessments = await assessBackends({ kernel, provisionerDir: provisionerDir(root), storeDirs: [dockerStoreDir(root)] });
  const preferred = chooseBackend(assessments, options.backend);
  const choose = (name?: string): Backend => backends.get(name === undefined ? preferred : chooseBackend(assessments, name as BackendName))!;
  const parts: ProvisionerParts = {
    root,
    kernel,
    backends,
    chooseBackend: choose,
    stores: [store],
    platform: options.platform,
    metrics,
    logger,
    syncs: new GroupedSync(),
  };
  return new Engine(parts, assessments, async () => {
    await store.close();
    state.close();
  });
}

async function openStore(root: string, kernel: Kernel, state: State, options: EngineOptions): Promise<DockerStore> {
  const { concurrentLayers, logger, unpackThreads } = options;
  return DockerStore.open({
    directory: dockerStoreDir(root),
    kernel,
    state,
    ...(concurrentLayers === undefined ? {} : { concurrency: concurrentLayers }),
    ...(logger === undefined ? {} : { logger: logger.child({ process: 'store' }) }),
    ...(unpackThreads === undefined ? {} : { unpacker: await openUnpacker(kernel, unpackThreads) }),
  });
}

async function openUnpacker(kernel: Kernel, threads: number): Promise<LayerUnpacker> {
  const { LayerUnpacker } = await import('../stores/layers/unpack.ts');
  return new LayerUnpacker({ kernel, threads });
}

/** The root, made where absent, without symlinks: what is unmounted is looked up in the mount table by its path. */
function openRoot(path: string): string {
  try {
    makeDirectories(path, 0o755);
    const root = realpathSync(path);
    makeDirectories(containersDir(root), 0o755);
    return root;
  } catch (error) {
    throw new RootwrightError('IO_ERROR', `cannot make the directory ${path}: ${String(error)}`, { cause: error, details: { path } });
  }
}

async function kernelOf(option: EngineOptions['kernel']): Promise<Kernel> {
  if (typeof option === 'object') return option;
  try {
    return await openKernel(option === undefined ? {} : { adapter: option });
  } catch (error) {
    throw new RootwrightError('UNSUPPORTED_HERE', `the kernel adapter ${option ?? ''} cannot be used here: ${String(error)}`, { cause: error });
  }
}
