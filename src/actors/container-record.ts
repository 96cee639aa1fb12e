import { createActor, type Actor } from 'xstate';
import type { RootwrightError } from '../errors.ts';
import type { ContainerId } from '../paths/container-id.ts';
import { containerDir } from '../paths/provisioner.ts';
import type { CheckpointedRootfs } from './checkpoint.ts';
import { containerMachine, type ContainerEvent } from './container.ts';
import { Sequence } from './runtime/sequence.ts';

/** What a container is at this moment. `provisioned` also covers a parent that only its nested containers imply. */
export type ContainerState = 'absent' | 'provisioning' | 'provisioned' | 'destroying' | 'failed';

/** A rootfs that the engine knows. */
export interface Rootfs extends CheckpointedRootfs {
  /** It has its ready marker: the backend had finished. */
  whole: boolean;
  /** False where its checkpoint was lost and its layers could not be told: prune must not run. */
  readonly layersKnown: boolean;
}

/**
 * One container: its rootfses, and while something is under way its machine. Idle it is a few small objects, so that ten thousand of them
 * take little memory; nothing here that recovery could not read from disk.
 */
export class Container {
  readonly id: ContainerId;
  readonly directory: string;
  readonly parent: Container | undefined;
  readonly #forget: (container: Container) => void;
  readonly children = new Children();
  rootfses: readonly Rootfs[] = [];
  /** Names of the backends that it has or had rootfses of: their directories go with it. */
  usedBackends: readonly string[] = [];
  /** The `layers` file is there. */
  checkpointed = false;
  /** Its directory may be there: made for itself, or on the way to one nested in it. */
  onDisk = false;
  /** Its directory stays though it has no rootfs: recovery found it, or a nested container stands in it. */
  standing = false;
  /** A destroy of it failed: what is left can only be destroyed. */
  broken = false;
  /** True once it has been taken apart; a later provision of the same id makes another object. */
  gone = false;
  #machine: Actor<typeof containerMachine> | undefined;
  #checkpoints: Sequence | undefined;
  #provisions: Map<string, () => void> | undefined;
  #destroyed: Deferred | undefined;
  #error: unknown;
  #serial = 0;

  constructor(root: string, id: ContainerId, parent: Container | undefined, forget: (container: Container) => void) {
    this.id = id;
    this.directory = containerDir(root, id);
    this.parent = parent;
    this.#forget = forget;
  }

  get state(): ContainerState {
    if (this.#machine === undefined) return this.#idleState;
    const { value } = this.#machine.getSnapshot();
    if (typeof value === 'object') return 'destroying';
    return value === 'idle' ? 'absent' : value;
  }

  get #idleState(): ContainerState {
    if (this.broken) return 'failed';
    return this.occupied ? 'provisioned' : 'absent';
  }

  /** Whether anything of it is on disk, or belongs there for its children. */
  get occupied(): boolean {
    return this.rootfses.length > 0 || this.checkpointed || this.children.size > 0 || this.standing;
  }

  /** Whether anything is under way with it. */
  get busy(): boolean {
    return this.#machine !== undefined;
  }

  /** Its checkpoint is written by one at a time. */
  get checkpoints(): Sequence {
    return (this.#checkpoints ??= new Sequence());
  }

  /** Whether a destroy was asked for and has not ended well. */
  get doomed(): boolean {
    const { state } = this;
    return state === 'destroying' || state === 'failed';
  }

  /**
   * Runs one provision as an operation of the machine. `signal` aborts this one, a destroy aborts all. Settles as `work` does, once the
   * machine has heard of it; fails with what `refused` makes where the machine takes no provision, or where it was aborted before it began.
   */
  provision<T>(work: (signal: AbortSignal) => Promise<T>, refused: () => RootwrightError, signal?: AbortSignal): Promise<T> {
    const machine = this.#running();
    const id = `provision-${this.#serial++}`;
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    const event: ContainerEvent = {
      type: 'provision',
      id,
      work: async (aborted) => {
        try {
          outcome = { value: await work(aborted) };
        } catch (error) {
          outcome = { error };
        }
        return this.occupied;
      },
    };
    if (!machine.getSnapshot().can(event)) return Promise.reject(refused());
    return new Promise((resolve, reject) => {
      const cancel = (): void => machine.send({ type: 'cancel', id });
      this.#provisions ??= new Map();
      this.#provisions.set(id, () => {
        signal?.removeEventListener('abort', cancel);
        if (outcome === undefined) reject(refused());
        else if ('error' in outcome) reject(outcome.error);
        else resolve(outcome.value);
      });
      signal?.addEventListener('abort', cancel, { once: true });
      machine.send(event);
    });
  }

  /** Aborts every provision under way. */
  cancel(): void {
    for (const id of this.#provisions?.keys() ?? []) this.#machine?.send({ type: 'cancel', id });
  }

  /** Adds a rootfs that is about to be made, or that recovery found. */
  add(rootfs: Rootfs): void {
    this.rootfses = [...this.rootfses, rootfs];
    if (this.usedBackends.includes(rootfs.backend)) return;
    this.usedBackends = this.usedBackends.length === 0 ? onlyBackend(rootfs.backend) : [...this.usedBackends, rootfs.backend];
  }

  /** Asks for a destroy: no provision begins from now on, those under way are aborted. */
  claim(): void {
    this.#running().send({ type: 'destroy' });
  }

  /** Takes a claim back, as long as no destroy has begun. */
  withdraw(): void {
    this.#machine?.send({ type: 'withdraw' });
  }

  /**
   * Begins the destroy that was claimed, or joins the one under way: `takeApart` runs once, when every provision has settled. Resolves once
   * the container is gone, also where it was gone already; fails as `takeApart` does, and may be called again.
   */
  destroy(takeApart: () => Promise<void>): Promise<void> {
    if (this.gone) return Promise.resolve();
    if (this.#destroyed === undefined) {
      this.#destroyed = new Deferred();
      const work = async (): Promise<boolean> => {
        try {
          await takeApart();
        } catch (error) {
          this.#error = error;
          throw error;
        }
        return false;
      };
      if (!this.doomed) this.claim();
      this.#running().send({ type: 'begin', work });
    }
    return this.#destroyed.promise;
  }

  #running(): Actor<typeof containerMachine> {
    if (this.#machine === undefined) {
      const machine = createActor(containerMachine, { input: { occupied: this.occupied, broken: this.broken } });
      machine.start();
      // Subscribed once it runs: its first state is no news.
      machine.subscribe({
        next: () => this.#hear(machine),
        error: (error) => this.#destroyed?.reject(error),
      });
      this.#machine = machine;
    }
    return this.#machine;
  }

  #hear(machine: Actor<typeof containerMachine>): void {
    const snapshot = machine.getSnapshot();
    if (this.#provisions !== undefined) {
      for (const [id, settle] of this.#provisions) {
        if (snapshot.context.running.includes(id)) continue;
        this.#provisions.delete(id);
        settle();
      }
    }
    const { value } = snapshot;
    if (value !== 'absent' && value !== 'provisioned' && value !== 'failed') return;
    this.#machine = undefined;
    this.#checkpoints = undefined;
    machine.stop();
    this.broken = value === 'failed';
    // Asked again rather than taken from the machine: nested containers may have come or gone since the work told.
    if (value !== 'failed' && !this.occupied) this.#vanish();
    if (value === 'failed') this.#settleDestroy((destroyed) => destroyed.reject(this.#error));
  }

  #vanish(): void {
    this.gone = true;
    this.#forget(this);
    this.#settleDestroy((destroyed) => destroyed.resolve());
  }

  #settleDestroy(settle: (destroyed: Deferred) => void): void {
    const destroyed = this.#destroyed;
    this.#destroyed = undefined;
    if (destroyed !== undefined) settle(destroyed);
  }
}

/** A set that costs nothing while it is empty: few containers have nested ones. */
class Children {
  #set: Set<Container> | undefined;

  get size(): number {
    return this.#set?.size ?? 0;
  }

  add(child: Container): void {
    (this.#set ??= new Set()).add(child);
  }

  delete(child: Container): void {
    this.#set?.delete(child);
  }

  [Symbol.iterator](): IterableIterator<Container> {
    return (this.#set ?? EMPTY).values();
  }
}

const EMPTY: ReadonlySet<Container> = new Set();

const ONLY_BACKEND = new Map<string, readonly string[]>();

/** One list for all containers that use one backend alone. */
function onlyBackend(name: string): readonly string[] {
  const list = ONLY_BACKEND.get(name) ?? [name];
  ONLY_BACKEND.set(name, list);
  return list;
}

class Deferred {
  resolve!: () => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<void>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}
