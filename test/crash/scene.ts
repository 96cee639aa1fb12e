import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createEngine, type BackendName } from '../../src/index.ts';
import { ociImage } from '../support/images.ts';
import { makeDirectory, removeDirectory } from '../support/temporary-directory.ts';
import type { Tree } from '../support/tree.ts';
import { compareContainers, inspectContainers, inspectStore, processesOf, readLayers, type Inspection } from './inspection.ts';
import { killDuring, rootwright, runToEnd, type Ended } from './processes.ts';
import type { Job } from './victim.ts';

/** A root directory where some containers live that no crash may touch, and what its layers look like when nobody is killed. */
export class Scene {
  readonly root: string;
  /** Containers that the agent knows of. */
  readonly known: readonly string[] = KEPT.map(({ container }) => container);
  readonly #directory: string;
  readonly #pristine: ReadonlyMap<string, Tree>;
  #before: Inspection;

  private constructor(directory: string, pristine: ReadonlyMap<string, Tree>) {
    this.#directory = directory;
    this.root = join(directory, 'root');
    this.#pristine = pristine;
    this.#before = inspectContainers(this.root);
  }

  /** `images` are those that the test pulls, in `forms`. */
  static async create(name: string, pulls: ReadonlyArray<{ readonly image: string; readonly backend: BackendName }>): Promise<Scene> {
    const directory = makeDirectory(name);
    for (const { container, image, backend } of KEPT) {
      const provisioned = await provision(join(directory, 'root'), backend, container, image);
      writeFileSync(join(provisioned, 'etc', 'written-inside'), container);
    }
    const pristine = join(directory, 'pristine');
    for (const { image, backend } of [...KEPT, ...pulls]) await pull(pristine, backend, image);
    return new Scene(directory, readLayers(pristine));
  }

  job(operation: Job['operation'], rest: Partial<Job> = {}): Job {
    return { root: this.root, known: this.known, operation, ...rest };
  }

  /** Runs a command on this directory; it must end with one of `exitCodes`. */
  async rootwright(args: readonly string[], exitCodes: readonly number[] = [0]): Promise<Ended> {
    const ended = await rootwright(...args, '--root', this.root);
    expect(exitCodes, `rootwright ${args.join(' ')} ended with ${ended.exitCode}: ${ended.stderr}`).toContain(ended.exitCode);
    return ended;
  }

  /** Kills the job after `delayMs`, recovers in a new process with `known` left, and looks. Says whether it was still at work. */
  async killAndRecover(job: Job, delayMs: number, alsoKnown: readonly string[] = []): Promise<'killed' | 'finished'> {
    const how = await killDuring(job, delayMs);
    await this.rootwright(['recover', ...[...this.known, ...alsoKnown].flatMap((id) => ['--known', id])]);
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
    expect(compareContainers(this.#before, inspectContainers(this.root)).slice(0, 20)).toEqual([]);
    this.expectStoreInOrder();
  }

  expectStoreInOrder(): void {
    expect(inspectStore(this.root, this.#pristine).slice(0, 20)).toEqual([]);
    expect(processesOf(this.root)).toEqual([]);
  }

  /** The layers in the store, as `<diff id>/<form directory>`. */
  layers(): Set<string> {
    return new Set(readLayers(this.root).keys());
  }

  close(): void {
    removeDirectory(this.#directory);
  }
}

const KEPT = [
  { container: 'kept', image: 'tiny', backend: 'overlay' },
  { container: 'kept.nested', image: 'deep', backend: 'overlay' },
  { container: 'kept-copy', image: 'tiny', backend: 'copy' },
] as const;

async function provision(root: string, backend: BackendName, container: string, image: string): Promise<string> {
  const engine = await createEngine({ root, backend });
  try {
    await engine.recover({ known: KEPT.map((kept) => kept.container) });
    return (await engine.provision(container, ociImage(image))).rootfs;
  } finally {
    await engine.close();
  }
}

async function pull(root: string, backend: BackendName, image: string): Promise<void> {
  const engine = await createEngine({ root, backend });
  try {
    await engine.recover({ known: [] });
    await engine.pull(ociImage(image));
  } finally {
    await engine.close();
  }
}
