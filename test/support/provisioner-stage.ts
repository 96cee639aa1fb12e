import { existsSync, mkdirSync } from 'node:fs';
import { GroupedSync } from '../../src/actors/grouped-sync.ts';
import type { ProvisionerParts } from '../../src/actors/parts.ts';
import type { Provisioned } from '../../src/actors/provision.ts';
import { Provisioner, type ProvisionOptions } from '../../src/actors/provisioner.ts';
import type { RecoveryReport } from '../../src/actors/recovery-report.ts';
import { readContainers } from '../../src/actors/read-containers.ts';
import { dispatch } from '../../src/actors/runtime/dispatch.ts';
import type { PID } from '../../src/actors/runtime/process.ts';
import { ActorSystem } from '../../src/actors/runtime/system.ts';
import type { Backend, BackendName, DestroyRequest, ProvisionedRootfs, ProvisionRequest } from '../../src/backends/backend.ts';
import { createBackends } from '../../src/backends/create-backends.ts';
import { RootwrightError } from '../../src/errors.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { silentLogger } from '../../src/logging.ts';
import { MemoryMetrics } from '../../src/metrics.ts';
import { parseContainerId } from '../../src/paths/container-id.ts';
import { containerDir, containersDir } from '../../src/paths/provisioner.ts';
import type { PruneReport, Store } from '../../src/stores/store.ts';
import { FakeStore } from './fake-store.ts';

/** A backend that tests order and fail: everything else is the real one's. */
export class GatedBackend implements Backend {
  readonly #backend: Backend;
  beforeProvision: (request: ProvisionRequest, signal: AbortSignal) => Promise<void> | void = () => undefined;
  afterProvision: (request: ProvisionRequest, signal: AbortSignal) => Promise<void> | void = () => undefined;
  beforeDestroy: (request: DestroyRequest) => Promise<void> | void = () => undefined;
  readonly log: string[] = [];

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get name(): BackendName {
    return this.#backend.name;
  }

  get form(): Backend['form'] {
    return this.#backend.form;
  }

  async provision(request: ProvisionRequest, signal: AbortSignal = new AbortController().signal): Promise<ProvisionedRootfs> {
    this.log.push('provision begins');
    try {
      await this.beforeProvision(request, signal);
      const made = await this.#backend.provision(request, signal);
      await this.afterProvision(request, signal);
      return made;
    } finally {
      this.log.push('provision ends');
    }
  }

  async destroy(request: DestroyRequest): Promise<boolean> {
    this.log.push('destroy begins');
    try {
      await this.beforeDestroy(request);
      return await this.#backend.destroy(request);
    } finally {
      this.log.push('destroy ends');
    }
  }
}

export interface StageOptions {
  readonly kernel?: Kernel;
  readonly backend?: BackendName;
  readonly store?: Store;
  readonly syncs?: GroupedSync;
}

/** A provisioner on a directory of its own, with a simulated kernel, real backends behind gates, and a fake store. */
export class Stage {
  readonly root: string;
  kernel: SimulatedKernel;
  store: FakeStore;
  readonly metrics = new MemoryMetrics();
  backends: Map<string, GatedBackend>;
  readonly #default: BackendName;
  #syncs: GroupedSync;
  system!: ActorSystem;
  provisioner!: Provisioner;
  pid!: PID<Provisioner>;

  constructor(root: string, options: StageOptions = {}) {
    this.root = root;
    mkdirSync(containersDir(root), { recursive: true });
    this.kernel = (options.kernel ?? new SimulatedKernel()) as SimulatedKernel;
    this.store = (options.store ?? new FakeStore(root)) as FakeStore;
    this.#default = options.backend ?? 'overlay';
    this.#syncs = options.syncs ?? new GroupedSync();
    this.backends = this.#openBackends();
    this.begin();
  }

  /** The gate of the default backend. */
  get backend(): GatedBackend {
    return this.backends.get(this.#default)!;
  }

  /** A new provisioner that knows nothing yet, as after a kill: whatever the old one had under way is left behind. */
  begin(): void {
    this.system = new ActorSystem();
    this.provisioner = new Provisioner(this.#parts());
    this.pid = this.system.spawn(this.provisioner, { name: 'provisioner' });
  }

  /** As {@link begin}, with backends and a store that nothing of the old one holds. */
  beginAfresh(kernel: Kernel, syncs: GroupedSync): void {
    this.kernel = kernel as SimulatedKernel;
    this.#syncs = syncs;
    this.store = this.store.reopen(this.root);
    this.backends = this.#openBackends();
    this.begin();
  }

  recover(known?: readonly string[], plan = false): Promise<RecoveryReport> {
    return dispatch(this.pid, 'recover', { known, plan });
  }

  provision(id: string, image: string, options: ProvisionOptions = {}, signal?: AbortSignal): Promise<Provisioned> {
    return dispatch(this.pid, 'provision', id, image, options, signal);
  }

  destroy(id: string, signal?: AbortSignal): Promise<boolean> {
    return dispatch(this.pid, 'destroy', id, signal);
  }

  prune(exclude: readonly string[] = [], signal?: AbortSignal): Promise<PruneReport> {
    return dispatch(this.pid, 'prune', { exclude }, signal);
  }

  /** Ids of the containers that the engine lists. */
  async ids(): Promise<string[]> {
    return (await dispatch(this.pid, 'list')).map(({ id }) => id).toSorted();
  }

  /** Ids of the containers that are on disk. */
  idsOnDisk(): string[] {
    return readContainers(this.root)
      .map(({ id }) => id)
      .toSorted();
  }

  directoryOf(id: string): string {
    return containerDir(this.root, parseContainerId(id));
  }

  exists(id: string): boolean {
    return existsSync(this.directoryOf(id));
  }

  /** Targets of all mounts below the root. */
  async mounts(): Promise<string[]> {
    return (await this.kernel.mountTable()).atOrBelow(this.root).map(({ target }) => target);
  }

  #openBackends(): Map<string, GatedBackend> {
    return new Map(Array.from(createBackends({ kernel: this.kernel }), ([name, backend]) => [name, new GatedBackend(backend)]));
  }

  #parts(): ProvisionerParts {
    return {
      root: this.root,
      kernel: this.kernel,
      backends: this.backends,
      chooseBackend: (name) => this.#choose(name),
      stores: [this.store],
      metrics: this.metrics,
      logger: silentLogger,
      syncs: this.#syncs,
    };
  }

  #choose(name: string = this.#default): Backend {
    const backend = this.backends.get(name);
    if (backend === undefined) throw new RootwrightError('BACKEND_UNAVAILABLE', `no backend ${name}`);
    return backend;
  }
}

/** A stage that has recovered, with the images `app` (base, app) and `web` (base, web). */
export async function openStage(root: string, options: StageOptions = {}): Promise<Stage> {
  const stage = new Stage(root, options);
  if (stage.store instanceof FakeStore) {
    stage.store.define('oci:app', ['base', 'app']);
    stage.store.define('oci:web', ['base', 'web']);
  }
  await stage.recover();
  return stage;
}

/** A gate that holds whoever awaits `passed` until `open` is called; `reached` resolves when somebody has come. */
export class Gate {
  open!: () => void;
  readonly #opened = new Promise<void>((resolve) => (this.open = resolve));
  #arrive!: () => void;
  readonly reached = new Promise<void>((resolve) => (this.#arrive = resolve));

  pass(): Promise<void> {
    this.#arrive();
    return this.#opened;
  }
}
