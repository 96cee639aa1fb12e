import { isRootwrightError, RootwrightError } from '../errors.ts';
import { parseContainerId, type ContainerId } from '../paths/container-id.ts';
import type { LayerForm } from '../paths/docker-store.ts';
import type { Backend } from '../backends/backend.ts';
import type { ImageInfo, ImageSummary, Platform, PruneReport, PullProgress } from '../stores/store.ts';
import type { Container, ContainerState } from './container-record.ts';
import { ContainerTable } from './container-table.ts';
import { inspectContainer, type InspectedContainer } from './inspect.ts';
import { swallow, type ProvisionerParts } from './parts.ts';
import { provisionRootfs, type Provisioned } from './provision.ts';
import { pruneStores, type PruneRequest } from './prune.ts';
import { PullTable } from './pull.ts';
import { recoverContainers } from './recover.ts';
import type { RecoveryReport } from './recovery-report.ts';
import { removeEmptyContainer } from './remove-container.ts';
import { abortedError, throwIfAborted } from './runtime/abort.ts';
import { Process } from './runtime/process.ts';
import { ReadWriteLock } from './runtime/read-write-lock.ts';
import { takeApart } from './take-apart.ts';

export interface ProvisionOptions {
  /** The backend; the engine's default otherwise. */
  readonly backend?: string | undefined;
  /** False: the image is looked up at its source again though it is present. Default true. */
  readonly cached?: boolean | undefined;
  /** The platform asked of an image index; the engine's otherwise. */
  readonly platform?: Platform | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface PullOptions {
  /** The form of the layers; that of the default backend otherwise. */
  readonly form?: LayerForm | undefined;
  readonly cached?: boolean | undefined;
  readonly platform?: Platform | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

/** One line of a listing. */
export interface ListedContainer {
  readonly id: string;
  readonly state: ContainerState;
  /** How many rootfses it has, those under way included. */
  readonly rootfses: number;
}

/**
 * The actor behind the four operations (Mesos: ProvisionerProcess). Its mailbox is interleaved: a turn only begins an operation, so that a
 * destroy is heard while a provision waits for its image.
 *
 * Provision, destroy and pull hold the lock as readers, prune and recover as the one writer, first come first served. The lock is taken
 * once, here, and held until the work has really stopped; nothing below takes it again (R3, R4 of mesos.md 3.7).
 */
export class Provisioner extends Process {
  readonly #parts: ProvisionerParts;
  readonly #lock = new ReadWriteLock();
  readonly #pulls: PullTable;
  readonly #containers: ContainerTable;
  readonly #closing = new AbortController();
  #recovered = false;

  constructor(parts: ProvisionerParts) {
    super();
    this.#parts = parts;
    this.#pulls = new PullTable(parts);
    this.#containers = new ContainerTable(parts.root, (gone) => this.#tidyAfter(gone));
  }

  /**
   * Puts the directory in order and learns what is there (mesos.md 3.2). With `plan` it only tells. Fails with INVALID_CONTAINER_ID,
   * IO_ERROR, ABORTED (while it waits for the lock; once begun it finishes). Single failures are in the report.
   */
  async recover(
    options: { readonly known?: Iterable<string> | undefined; readonly plan?: boolean | undefined },
    signal?: AbortSignal,
  ): Promise<RecoveryReport> {
    this.#refuseWhenClosing();
    const known = options.known === undefined ? undefined : new Set(Array.from(options.known, parseContainerId));
    return this.#lock.write(async () => {
      const { metrics, logger } = this.#parts;
      try {
        const report = await recoverContainers(this.#parts, this.#containers, { known, plan: options.plan });
        if (report.plan) return report;
        this.#recovered = true;
        metrics.increment('recoveries_total', { outcome: report.failed.length === 0 ? 'ok' : 'partial' });
        metrics.observe('recovery_seconds', {}, report.durationMs / 1000);
        logger.info(summaryOf(report), 'recovered');
        return report;
      } catch (error) {
        metrics.increment('recoveries_total', { outcome: 'failed' });
        if (isRootwrightError(error)) throw error;
        throw new RootwrightError('IO_ERROR', `cannot recover ${this.#parts.root}: ${String(error)}`, {
          cause: error,
          details: { path: this.#parts.root },
        });
      }
    }, this.#orClosing(signal));
  }

  /** See Engine.provision. */
  async provision(id: string, image: string, options: ProvisionOptions, signal?: AbortSignal): Promise<Provisioned> {
    this.#ready();
    throwIfAborted(`provision of ${id}`, signal);
    const containerId = parseContainerId(id);
    const backend = this.#parts.chooseBackend(options.backend);
    const named = this.#pulls.understand(image);
    this.#refuseUnderDoomed(containerId);
    const container = this.#containers.ensure(containerId);
    const request = { ...options, image: named, backend };
    const started = performance.now();
    try {
      const provisioned = await container.provision(
        (aborted) => this.#lock.read(() => provisionRootfs(this.#parts, this.#pulls, container, request, aborted), aborted),
        () => (container.doomed ? destroying(id) : stopped(id)),
        signal,
      );
      this.#count(backend, 'ok', started);
      this.#parts.logger.info({ container: id, backend: backend.name, rootfs: provisioned.rootfsId, image: provisioned.image.name }, 'provisioned');
      return provisioned;
    } catch (error) {
      throw this.#failed(error, container, backend, started, signal);
    }
  }

  /** See Engine.destroy. */
  async destroy(id: string, signal?: AbortSignal): Promise<boolean> {
    this.#ready();
    throwIfAborted(`destroy of ${id}`, signal);
    const container = this.#containers.find(parseContainerId(id));
    if (container === undefined) return false;
    // Provisions hear of it now, not when the lock is free: a prune may wait for them (R1, R2 of mesos.md 3.7).
    const claimed = [...subtree(container)];
    for (const member of claimed) member.claim();
    let begun = false;
    try {
      await this.#lock.read(() => {
        begun = true;
        return container.destroy(() => takeApart(this.#parts, container));
      }, signal);
    } catch (error) {
      if (!begun) for (const member of claimed) member.withdraw();
      throw error;
    }
    this.#parts.logger.info({ container: id }, 'destroyed');
    return true;
  }

  /** See Engine.prune. */
  async prune(request: PruneRequest, signal?: AbortSignal): Promise<PruneReport> {
    this.#ready();
    return this.#lock.write(() => pruneStores(this.#parts, this.#pulls, this.#containers, request), this.#orClosing(signal));
  }

  /** See Engine.pull. */
  async pull(image: string, options: PullOptions, signal?: AbortSignal): Promise<ImageInfo> {
    this.#ready();
    const form = options.form ?? this.#parts.chooseBackend().form;
    const aborted = this.#orClosing(signal);
    const named = this.#pulls.understand(image);
    return this.#lock.read(() => this.#pulls.get({ ...options, image: named, form }, aborted), aborted);
  }

  /** Every container, those under way included, in the order in which they came to be known. */
  list(): ListedContainer[] {
    this.#ready();
    const listed: ListedContainer[] = [];
    for (const { id, state, rootfses } of this.#containers) if (state !== 'absent') listed.push({ id, state, rootfses: rootfses.length });
    return listed;
  }

  /** See Engine.inspect. */
  async inspect(id: string): Promise<InspectedContainer> {
    this.#ready();
    const container = this.#containers.find(parseContainerId(id));
    if (container !== undefined && container.state !== 'absent') return inspectContainer(this.#parts, container);
    throw new RootwrightError('CONTAINER_NOT_FOUND', `there is no container ${JSON.stringify(id)}; \`rootwright list\` shows those that are there`, {
      details: { container: id },
    });
  }

  /** Images of all stores. */
  async images(): Promise<ImageSummary[]> {
    this.#refuseWhenClosing();
    const lists = await Promise.all(this.#parts.stores.map((store) => store.list()));
    return lists.flat();
  }

  /** Aborts what is under way, lets destroys finish, and resolves when nothing runs any more. Everything later fails with ENGINE_CLOSED. */
  async shutDown(): Promise<void> {
    if (!this.#closing.signal.aborted) this.#closing.abort(closed());
    for (const container of this.#containers) container.cancel();
    await this.#lock.write(async () => undefined);
  }

  /** True while nobody holds the lock or waits for it. */
  get idle(): boolean {
    return this.#lock.idle && this.#pulls.size === 0;
  }

  #ready(): void {
    this.#refuseWhenClosing();
    if (this.#recovered) return;
    throw new RootwrightError('NOT_RECOVERED', 'recover has not run: what is on disk is not known yet; call recover() first');
  }

  #refuseWhenClosing(): void {
    if (this.#closing.signal.aborted) throw closed();
  }

  #orClosing(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  /** A container in a parent that is being destroyed would be left behind, or keep the parent's directory alive. */
  #refuseUnderDoomed(id: ContainerId): void {
    for (let end = id.length; end > 0; end = id.lastIndexOf('.', end - 1)) {
      const ancestor = id.slice(0, end) as ContainerId;
      if (this.#containers.find(ancestor)?.doomed === true) throw destroying(ancestor);
    }
  }

  /** Says why a provision failed: the destroy that came, the end of the engine, the caller's abort, or its own reason. */
  #failed(error: unknown, container: Container, backend: Backend, started: number, signal: AbortSignal | undefined): unknown {
    const { id } = container;
    if (isRootwrightError(error) && error.code === 'CONTAINER_DESTROYING') return error;
    if (!isAbort(error)) {
      this.#count(backend, 'failed', started);
      this.#parts.logger.info({ container: id, backend: backend.name, err: error }, 'provision failed');
      return error;
    }
    this.#count(backend, signal?.aborted === true ? 'aborted' : 'destroyed', started);
    if (signal?.aborted === true) return abortedError(`provision of ${id}`, signal);
    if (this.#closing.signal.aborted) return closed();
    return new RootwrightError('PROVISION_DESTROYED', `container ${id} was destroyed while it was provisioned; nothing of it is left`, {
      cause: error,
      details: { container: id },
    });
  }

  #count(backend: Backend, outcome: 'ok' | 'failed' | 'aborted' | 'destroyed', started: number): void {
    this.#parts.metrics.increment('provisions_total', { backend: backend.name, outcome });
    if (outcome === 'ok') this.#parts.metrics.observe('provision_seconds', { backend: backend.name }, (performance.now() - started) / 1000);
  }

  /** What a provision that failed made on the way goes with its container: directories of parents that were there for it alone, too. */
  #tidyAfter(container: Container): void {
    if (container.onDisk) {
      try {
        removeEmptyContainer(container);
      } catch (error) {
        swallow(this.#parts, 'removal of an empty container', error, { container: container.id });
      }
    }
    const { parent } = container;
    if (parent !== undefined && !parent.occupied && !parent.busy) this.#containers.forget(parent);
  }
}

function* subtree(container: Container): Generator<Container> {
  yield container;
  for (const child of container.children) yield* subtree(child);
}

/** Everything that an aborted signal brings about: its own reason, ABORTED from below, Node's AbortError. */
function isAbort(error: unknown): boolean {
  if (isRootwrightError(error)) return error.code === 'ABORTED';
  return error instanceof Error && error.name === 'AbortError';
}

function summaryOf(report: RecoveryReport): object {
  const { kept, destroyed, repaired, unmounted, quarantined, reported, failed, swept, durationMs } = report;
  const lists = { kept, destroyed, repaired, unmounted, quarantined, reported, failed, swept };
  return { ...Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, list.length])), durationMs: Math.round(durationMs) };
}

function destroying(id: string): RootwrightError {
  return new RootwrightError(
    'CONTAINER_DESTROYING',
    `container ${id} is being destroyed, or its destroy has failed; wait for destroy to succeed, then provision`,
    {
      details: { container: id },
    },
  );
}

function stopped(id: string): RootwrightError {
  return new RootwrightError('ABORTED', `provision of ${id} was stopped before it began`);
}

function closed(): RootwrightError {
  return new RootwrightError('ENGINE_CLOSED', 'the engine is closed');
}
