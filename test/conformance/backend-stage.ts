import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { Backend, ProvisionedRootfs } from '../../src/backends/backend.ts';
import type { BackendOptions } from '../../src/backends/backend-options.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { backendDir, rootfsPath, scratchDir } from '../../src/paths/provisioner.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { makeLayer, type LayerContent } from '../backends/layers.ts';

/** What a backend under test is, and how to make one. */
export interface BackendSubject {
  create(options: BackendOptions): Backend;
  openKernel(): Promise<Kernel>;
  /** How many layers it takes. */
  readonly layers: 'one' | 'many';
  /** Whether it mounts. */
  readonly mounts: boolean;
  /** Whether a container can write to its rootfs. */
  readonly writable: boolean;
}

/** One container with one backend in a directory of its own, gone when the test ends. */
export class Stage {
  readonly root: string;
  readonly kernel: Kernel;
  readonly backend: Backend;
  readonly backendDir: string;
  readonly rootfs: string;
  readonly scratch: string;
  readonly swallowed: string[] = [];
  readonly subject: BackendSubject;
  private layers = 0;

  static async open(subject: BackendSubject, options: { readonly directoryName?: string; readonly kernel?: Kernel } = {}): Promise<Stage> {
    return new Stage(subject, options.kernel ?? (await subject.openKernel()), join(temporaryDirectory('backend'), options.directoryName ?? 'root'));
  }

  private constructor(subject: BackendSubject, kernel: Kernel, root: string) {
    this.subject = subject;
    this.kernel = kernel;
    this.root = root;
    mkdirSync(root);
    this.backend = this.backendOn(kernel);
    this.backendDir = backendDir(join(root, 'c1'), this.backend.name);
    this.rootfs = rootfsPath(this.backendDir, 'r1');
    this.scratch = scratchDir(this.backendDir, 'r1');
  }

  /** The same backend over another kernel. */
  backendOn(kernel: Kernel): Backend {
    return this.subject.create({ kernel, onSwallowed: (what) => this.swallowed.push(what) });
  }

  /** A layer in the form that the backend takes. */
  layer(content: LayerContent, name = `layer-${this.layers++}`): string {
    return makeLayer(this.kernel.files, join(this.root, 'store', name), this.backend.form, content);
  }

  provision(layers: readonly string[], signal?: AbortSignal, backend = this.backend): Promise<ProvisionedRootfs> {
    return backend.provision({ layers, rootfs: this.rootfs, backendDir: this.backendDir }, signal);
  }

  destroy(backend = this.backend): Promise<boolean> {
    return backend.destroy({ rootfs: this.rootfs, backendDir: this.backendDir });
  }

  /** A directory with a file that must outlive everything. */
  precious(name = 'precious'): string {
    const directory = join(this.root, name);
    mkdirSync(directory);
    writeFileSync(join(directory, 'keep'), 'me');
    onTestFinished(() => expect(readFileSync(join(directory, 'keep'), 'utf8')).toBe('me'));
    return directory;
  }

  /** Content of a file of the rootfs, as its container would read it. */
  read(path: string): string {
    const at = join(this.rootfs, path);
    return this.kernel instanceof SimulatedKernel ? this.kernel.read(at).toString() : readFileSync(at, 'utf8');
  }

  list(path = ''): string[] {
    const at = join(this.rootfs, path);
    return this.kernel instanceof SimulatedKernel ? this.kernel.readdir(at) : readdirSync(at).toSorted();
  }

  write(path: string, data: string): void {
    const at = join(this.rootfs, path);
    if (this.kernel instanceof SimulatedKernel) this.kernel.write(at, data);
    else writeFileSync(at, data);
  }

  typeOf(path: string): string | undefined {
    const at = join(this.rootfs, path);
    if (this.kernel instanceof SimulatedKernel) return this.kernel.typeOf(at);
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (stat.isDirectory()) return 'directory';
    return stat.isSymbolicLink() ? 'symlink' : stat.isFile() ? 'file' : 'special';
  }

  /** Neither a mount nor a directory of the rootfs is left. */
  async expectNothingLeft(): Promise<void> {
    expect((await this.kernel.mountTable()).atOrBelow(this.root).map(({ target }) => target)).toEqual([]);
    expect(lstatSync(this.rootfs, { throwIfNoEntry: false })).toBeUndefined();
    expect(lstatSync(this.scratch, { throwIfNoEntry: false })).toBeUndefined();
  }
}

/** A kernel in front of another that stops working for good, as if the process had been killed, before (or right after) its `nth` call that changes something. */
export function dyingKernel(kernel: Kernel, nth: number, when: 'before' | 'after' = 'before'): { kernel: Kernel; calls: () => number } {
  let calls = 0;
  const wrap = <A extends unknown[]>(call: (...args: A) => Promise<void>): ((...args: A) => Promise<void>) => {
    return async (...args: A): Promise<void> => {
      const number = calls++;
      if (number > nth || (number === nth && when === 'before')) throw new Error('killed');
      await call(...args);
      if (number === nth) throw new Error('killed');
    };
  };
  const changed: Partial<Kernel> = {
    mount: wrap((request) => kernel.mount(request)),
    bind: wrap((source, target, options) => kernel.bind(source, target, options)),
    setPropagation: wrap((target, propagation) => kernel.setPropagation(target, propagation)),
    unmount: wrap((target, options) => kernel.unmount(target, options)),
  };
  return { kernel: inFrontOf(kernel, changed), calls: () => calls };
}

/** `kernel` with some of its calls replaced. */
export function inFrontOf(kernel: Kernel, changed: Partial<Kernel>): Kernel {
  return new Proxy(kernel, {
    get: (target, key) => {
      const value: unknown = Reflect.get(key in changed ? changed : target, key);
      return typeof value === 'function' && !(key in changed) ? value.bind(target) : value;
    },
  });
}
