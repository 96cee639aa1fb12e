import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createEngine, type BackendName, type Engine } from '../../src/index.ts';
import { ociImage } from '../support/images.ts';
import { makeMemoryFilesystem, type Workplace } from '../support/fresh-filesystem.ts';
import type { ContentCache, Tree } from '../support/tree.ts';
import { compareContainers, inspectContainers, inspectStore, layerFiles, processesOf, readLayers, type Inspection } from './inspection.ts';
import { killDuring, rootwright, runToEnd } from './processes.ts';
import type { Job } from './victim.ts';

/** A root directory where some containers live that no crash may touch, and what its layers look like when nobody is killed. */
export class Scene {
  readonly root: string;
  /** Containers that the agent knows of. */
  readonly known: readonly string[] = KEPT.map(({ container }) => container);
  readonly #place: Workplace;
  readonly #pristine: ReadonlyMap<string, Tree>;
  readonly #before: Inspection;
  readonly #cache: ContentCache = new Map();

  private constructor(place: Workplace, pristine: ReadonlyMap<string, Tree>) {
    this.#place = place;
    this.root = join(place.directory, 'root');
    this.#pristine = pristine;
    this.#before = inspectContainers(this.root, this.#cache);
  }

  /** `pulls` are the images that the test pulls, each for a backend. */
  static async create(name: string, pulls: ReadonlyArray<{ readonly image: string; readonly backend: BackendName }>): Promise<Scene> {
    const place = makeMemoryFilesystem(name);
    const { directory } = place;
    for (const { container, image, backend } of KEPT) {
      const { rootfs } = await withEngine(join(directory, 'root'), backend, (engine) => engine.provision(container, ociImage(image)));
      writeFileSync(join(rootfs, 'etc', 'written-inside'), container);
    }
    const pristine = join(directory, 'pristine');
    for (const { image, backend } of [...KEPT, ...pulls]) await withEngine(pristine, backend, (engine) => engine.pull(ociImage(image)));
    return new Scene(place, readLayers(pristine, new Map()));
  }

  job(operation: Job['operation'], rest: Partial<Job> = {}): Job {
    return { root: this.root, known: this.known, operation, ...rest };
  }

  /** Runs `body` on an engine of this process, every container known. */
  withEngine<T>(backend: BackendName, body: (engine: Engine) => Promise<T>): Promise<T> {
    return withEngine(this.root, backend, body);
  }

  /** Kills the job after `delayMs`, recovers in a new process with `known` left, and looks. Says whether it was still at work. */
  async killAndRecover(job: Job, delayMs: number, alsoKnown: readonly string[] = []): Promise<'killed' | 'finished'> {
    const how = await killDuring(job, delayMs);
    const known = [...this.known, ...alsoKnown].flatMap((id) => ['--known', id]);
    expect(await rootwright('recover', ...known, '--root', this.root)).toMatchObject({ exitCode: 0 });
    if (alsoKnown.length === 0) this.expectInOrder();
    else this.expectStoreInOrder();
    return how;
  }

  /** Milliseconds that the job takes when nobody is killed. */
  duration(job: Job): Promise<number> {
    return runToEnd(job);
  }

  /** Only the known containers are there, as they were; nothing is left over, and every layer is whole. */
  expectInOrder(): void {
    expect(compareContainers(this.#before, inspectContainers(this.root, this.#cache)).slice(0, 20)).toEqual([]);
    this.expectStoreInOrder();
  }

  expectStoreInOrder(): void {
    expect(inspectStore(this.root, this.#pristine, this.#cache).slice(0, 20)).toEqual([]);
    expect(processesOf(this.root)).toEqual([]);
  }

  /** The layers in the store and the facts about them, by name. */
  layers(): Set<string> {
    return new Set(layerFiles(this.root));
  }

  close(): void {
    this.#place.close();
  }
}

const KEPT = [
  { container: 'kept', image: 'tiny', backend: 'overlay' },
  { container: 'kept.nested', image: 'tiny', backend: 'overlay' },
  { container: 'kept-copy', image: 'tiny', backend: 'copy' },
] as const;

/** Runs `body` on an engine of this process, every container known. */
async function withEngine<T>(root: string, backend: BackendName, body: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await createEngine({ root, backend });
  try {
    await engine.recover();
    return await body(engine);
  } finally {
    await engine.close();
  }
}
