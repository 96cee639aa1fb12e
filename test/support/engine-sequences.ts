import * as fc from 'fast-check';
import { setImmediate } from 'node:timers/promises';
import { GroupedSync } from '../../src/actors/grouped-sync.ts';
import { isRootwrightError } from '../../src/errors.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import type { Store } from '../../src/stores/store.ts';
import { Model, type Done } from './model.ts';
import { Stage } from './provisioner-stage.ts';

export type Operation =
  | { readonly kind: 'provision'; readonly id: string; readonly image: string; readonly backend: 'overlay' | 'bind'; readonly abortAfter?: number }
  | { readonly kind: 'destroy'; readonly id: string; readonly abortAfter?: number }
  | { readonly kind: 'prune'; readonly abortAfter?: number };

/** Operations that run side by side, and what goes wrong meanwhile. */
export interface Step {
  readonly operations: readonly Operation[];
  /** The kernel fails this call, counted from the step's first. */
  readonly fault?: { readonly call: number; readonly errno: string };
  /** The engine is killed after so many events; the new one knows of these containers, or of none. */
  readonly kill?: { readonly after: number; readonly known?: readonly string[] };
}

const IDS = ['a', 'b', 'a.x', 'a.y', 'a.x.z'];
const id = fc.constantFrom(...IDS);
const abortAfter = fc.option(fc.nat({ max: 12 }), { nil: undefined, freq: 3 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('provision' as const),
      id,
      image: fc.constantFrom('oci:app', 'oci:web', 'oci:one', 'oci:none'),
      backend: fc.constantFrom('overlay' as const, 'overlay' as const, 'bind' as const),
      abortAfter,
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('destroy' as const), id, abortAfter }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune' as const), abortAfter }) },
) as fc.Arbitrary<Operation>;

/** Sequences of steps: shrinking takes steps and operations away. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
    fault: fc.option(fc.record({ call: fc.nat({ max: 8 }), errno: fc.constantFrom('EBUSY', 'EINVAL', 'EPERM', 'ENOMEM') }), {
      nil: undefined,
      freq: 3,
    }),
    kill: fc.option(fc.record({ after: fc.nat({ max: 25 }), known: fc.option(fc.subarray(IDS), { nil: undefined }) }), { nil: undefined, freq: 4 }),
  }),
  { minLength: 1, maxLength: 5 },
) as fc.Arbitrary<Step[]>;

/**
 * Runs a sequence on a simulated kernel, its work ordered by `scheduler`: every kernel call, every step of the backend and of the store and
 * every flush waits for its turn, and a kill lets none of them go on. The model is asked after each step.
 */
export async function runOnSimulatedKernel(root: string, sequence: readonly Step[], scheduler: fc.Scheduler): Promise<void> {
  const world = new World(scheduler, new SimulatedKernel());
  const stage = new Stage(root, { kernel: world.life.kernel, syncs: world.life.syncs });
  for (const [name, layers] of Object.entries(IMAGES)) stage.store.define(name, layers);
  world.arm(stage);
  await scheduler.waitFor(stage.recover());
  const model = new Model();
  for (const step of sequence) await runStep(world, stage, model, step);
  await finish(world, stage, model);
}

export const IMAGES = { 'oci:app': ['base', 'app'], 'oci:web': ['base', 'web'], 'oci:one': ['one'] };

/**
 * The same on the real kernel, which orders the work; faults and kills are left out. With `images` the store is a real one too: its images
 * by the names that sequences use.
 */
export async function runOnRealKernel(
  root: string,
  sequence: readonly Step[],
  kernel: Kernel,
  images?: { readonly store: Store; readonly names: Readonly<Record<string, string>> },
): Promise<void> {
  const stage = new Stage(root, { kernel, ...(images === undefined ? {} : { store: images.store }) });
  if (images === undefined) for (const [name, layers] of Object.entries(IMAGES)) stage.store.define(name, layers);
  await stage.recover();
  const model = new Model();
  for (const { operations } of sequence) {
    const done: Done[] = [];
    const named = operations.map((operation) =>
      operation.kind === 'provision' ? { ...operation, image: images?.names[operation.image] ?? operation.image } : operation,
    );
    await Promise.all(named.map((operation) => perform(stage, operation, abortSoon(operation.abortAfter), (outcome) => done.push(outcome))));
    model.settle(done, false);
    await model.check(stage, false);
  }
  // The next engine finds the same, mounts and all.
  stage.begin();
  await stage.recover();
  await model.check(stage, true);
  for (const container of await stage.ids()) if (!container.includes('.')) await stage.destroy(container);
  await stage.prune();
  await model.checkEmpty(stage);
}

function abortSoon(after: number | undefined): AbortSignal | undefined {
  return after === undefined ? undefined : AbortSignal.timeout(after);
}

async function runStep(world: World, stage: Stage, model: Model, { operations, fault, kill }: Step): Promise<void> {
  const stopFaults = fault === undefined ? undefined : world.failCall(fault.call, fault.errno);
  const done: Done[] = operations.map((operation) => ('id' in operation ? { kind: operation.kind, id: operation.id } : { kind: operation.kind }));
  const running = operations.map((operation, index) => run(world, stage, operation, (outcome) => (done[index] = outcome)));
  if (kill === undefined) {
    await world.scheduler.waitFor(Promise.all(running));
    stopFaults?.();
    model.settle(done, fault !== undefined);
    return world.quietly(() => model.check(stage, false));
  }
  await world.runFor(kill.after);
  stopFaults?.();
  const faulty = fault !== undefined;
  await world.kill();
  stage.beginAfresh(world.life.kernel, world.life.syncs);
  world.arm(stage);
  const report = await world.scheduler.waitFor(stage.recover(kill.known));
  if (report.failed.length > 0) throw new Error(`recovery failed: ${JSON.stringify(report.failed)}`);
  // What a fault left was there for recovery to take: only doubt remains about what the step had done by then.
  model.crash(
    faulty ? done.map((one) => ('code' in one ? ({ kind: one.kind, ...('id' in one ? { id: one.id } : {}) } as Done) : one)) : done,
    kill.known,
  );
  await world.quietly(() => model.check(stage, true));
}

/** Without faults everything can be destroyed, and then nothing is left. */
async function finish(world: World, stage: Stage, model: Model): Promise<void> {
  const { scheduler } = world;
  for (const container of await stage.ids()) if (!container.includes('.')) await scheduler.waitFor(stage.destroy(container));
  await scheduler.waitFor(stage.prune());
  await world.quietly(() => model.checkEmpty(stage));
}

async function run(world: World, stage: Stage, operation: Operation, tell: (done: Done) => void): Promise<void> {
  const abort = new AbortController();
  const { life } = world;
  if (operation.abortAfter !== undefined) void life.after(operation.abortAfter, () => abort.abort(new Error('the caller has changed its mind')));
  await perform(stage, operation, operation.abortAfter === undefined ? undefined : abort.signal, (done) => {
    if (life === world.life) tell(done);
  });
}

async function perform(stage: Stage, operation: Operation, signal: AbortSignal | undefined, say: (done: Done) => void): Promise<void> {
  try {
    switch (operation.kind) {
      case 'provision': {
        const { rootfsId } = await stage.provision(operation.id, operation.image, { backend: operation.backend }, signal);
        return say({ kind: 'provision', id: operation.id, rootfs: rootfsId });
      }
      case 'destroy':
        return say({ kind: 'destroy', id: operation.id, existed: await stage.destroy(operation.id, signal) });
      case 'prune':
        await stage.prune([], signal);
        return say({ kind: 'prune' });
    }
  } catch (error) {
    if (!isRootwrightError(error)) throw error;
    say({ kind: operation.kind, code: error.code, ...('id' in operation ? { id: operation.id } : {}) } as Done);
  }
}

/** The scheduler, the kernel that outlives every engine, and the engine's present life. */
class World {
  readonly scheduler: fc.Scheduler;
  readonly #kernel: SimulatedKernel;
  life: Life;

  constructor(scheduler: fc.Scheduler, kernel: SimulatedKernel) {
    this.scheduler = scheduler;
    this.#kernel = kernel;
    this.life = new Life(scheduler, kernel);
  }

  arm(stage: Stage): void {
    const { life } = this;
    stage.store.beforeGet = () => life.gate('get');
    stage.store.beforePrune = () => life.gate('prune');
    for (const backend of stage.backends.values()) {
      backend.beforeProvision = () => life.gate('before provision');
      backend.afterProvision = () => life.gate('after provision');
      backend.beforeDestroy = () => life.gate('before destroy');
    }
  }

  /** Fails one call of the kernel that changes something; the function takes the fault away. */
  failCall(index: number, errno: string): () => void {
    let calls = 0;
    return this.#kernel.failWhen(({ name }) => (CHANGES.has(name) && calls++ === index ? errno : undefined));
  }

  /** Runs `events` scheduled tasks, or until none comes any more. */
  async runFor(events: number): Promise<void> {
    for (let event = 0; event < events; event += 1) {
      await this.#settle();
      if (this.scheduler.count() === 0) return;
      await this.scheduler.waitOne();
    }
  }

  /** Nothing of the old engine passes a gate any more; what it had given to the kernel is done first. */
  async kill(): Promise<void> {
    this.life.end();
    await this.#settle();
    this.life = new Life(this.scheduler, this.#kernel);
  }

  /** The tests' own look at the world waits for nobody. */
  async quietly(look: () => Promise<void>): Promise<void> {
    this.life.open = true;
    try {
      await look();
    } finally {
      this.life.open = false;
    }
  }

  /** Until nobody waits for the file system. */
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet += 1) {
      await setImmediate();
      if (process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'))) quiet = -1;
    }
  }
}

/** One engine's time: everything it does waits at a gate for its turn, and once the life has ended for ever. */
class Life {
  readonly #scheduler: fc.Scheduler;
  readonly kernel: SimulatedKernel;
  readonly syncs: GroupedSync;
  open = false;
  #ended = false;

  constructor(scheduler: fc.Scheduler, kernel: SimulatedKernel) {
    this.#scheduler = scheduler;
    this.syncs = new GatedSync(this);
    this.kernel = new Proxy(kernel, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        if (!CALLS.has(String(property))) return value.bind(target) as unknown;
        return async (...args: unknown[]) => {
          await this.gate(String(property));
          return (value as (...args: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  }

  async gate(label: string): Promise<void> {
    if (this.open) return;
    if (!this.#ended) await this.#scheduler.schedule(Promise.resolve(), label);
    if (this.#ended) await new Promise(() => undefined);
  }

  async after(events: number, act: () => void): Promise<void> {
    for (let event = 0; event < events; event += 1) await this.gate('wait');
    act();
  }

  end(): void {
    this.#ended = true;
  }
}

const CHANGES: ReadonlySet<string> = new Set(['mount', 'bind', 'setPropagation', 'unmount']);
const CALLS: ReadonlySet<string> = new Set([...CHANGES, 'mountTable', 'isMountPoint']);

class GatedSync extends GroupedSync {
  readonly #life: Life;

  constructor(life: Life) {
    super();
    this.#life = life;
  }

  override async flush(file: number, directories: readonly string[]): Promise<void> {
    await this.#life.gate('flush');
    await super.flush(file, directories);
  }
}
