import { existsSync, readdirSync } from 'node:fs';
import { expect } from 'vitest';
import { readContainers } from '../../src/actors/read-containers.ts';
import { dockerStoreDir, layerFormDir, layersDir } from '../../src/paths/docker-store.ts';
import { scanContainers } from '../../src/paths/list-containers.ts';
import { listRootfses } from '../../src/paths/list-rootfses.ts';
import type { Stage } from './provisioner-stage.ts';

/** One operation, and how it ended; neither result nor code where the engine was killed before it did. */
export type Done =
  | { readonly kind: 'provision'; readonly id: string; readonly rootfs?: string; readonly code?: string }
  | { readonly kind: 'destroy'; readonly id: string; readonly existed?: boolean; readonly code?: string }
  | { readonly kind: 'prune'; readonly code?: string };

/**
 * What must hold of the engine, in the simplest words. It knows nothing of how the engine works: it looks at the results that callers got,
 * then at the disk, the mount table and the store. Where two operations ran side by side and either order is right, it takes what it finds.
 */
export class Model {
  /** Rootfses that were given to a caller and that nobody destroyed, with their container: they stand, and their layers are in the store. */
  readonly #must = new Map<string, string>();
  /** Rootfses that may stand or be gone: someone destroyed them at the same time, or failed to. */
  readonly #may = new Map<string, string>();
  /** Containers that may have a rootfs which no caller was told of: the engine was killed before it could. */
  readonly #untold = new Set<string>();
  /** Containers in which a clean-up failed: remains are allowed in them until they are destroyed. */
  readonly #stained = new Set<string>();

  /** The operations of one step, which ran side by side and have all settled. `faulty`: the kernel failed a call meanwhile. */
  settle(step: readonly Done[], faulty: boolean): void {
    const old = new Map([...this.#must, ...this.#may]);
    const stains = new Set(this.#stained);
    for (const done of step) {
      if (done.kind !== 'provision') continue;
      if (done.rootfs !== undefined) this.#must.set(done.rootfs, done.id);
      else if (faulty && done.code !== 'CONTAINER_DESTROYING') this.#stained.add(done.id);
    }
    for (const done of step) {
      if (done.kind !== 'destroy' || done.code === 'ABORTED') continue;
      if (done.existed === true) {
        for (const stained of stains) if (isWithin(stained, done.id)) this.#stained.delete(stained);
        for (const [rootfs, container] of old) if (isWithin(container, done.id)) this.#forget(rootfs);
      }
      if (done.code !== undefined) this.#stained.add(done.id);
      if (done.existed !== false) this.#doubt(done.id);
    }
  }

  /** The engine was killed in the middle of `step`; a new one has recovered, and was told of `known` containers or of none. */
  crash(step: readonly Done[], known: readonly string[] | undefined): void {
    this.settle(step, false);
    this.#stained.clear();
    for (const done of step) {
      if (done.kind === 'provision' && done.code === undefined && done.rootfs === undefined) this.#untold.add(done.id);
      if (done.kind === 'destroy') this.#doubt(done.id);
    }
    if (known === undefined) return;
    const stays = (id: string): boolean => known.some((one) => isWithin(one, id));
    for (const [rootfs, container] of [...this.#must, ...this.#may]) if (!stays(container)) this.#forget(rootfs);
    for (const id of this.#untold) if (!stays(id)) this.#untold.delete(id);
  }

  /** Compares with what is there. After a recovery everything that is left is whole. */
  async check(stage: Stage, recovered: boolean): Promise<void> {
    const { containers, strays } = scanContainers(stage.root);
    const onDisk = readContainers(stage.root);
    const mounts = new Set(await stage.mounts());
    const found = new Set<string>();
    expect(strays, 'strays').toEqual([]);
    expect(
      containers.flatMap(({ temporaries }) => temporaries),
      'temporary files',
    ).toEqual([]);
    expect(await stage.ids(), 'the list is what is on disk').toEqual(onDisk.map(({ id }) => id).toSorted());
    expect(stage.provisioner.idle, 'nobody holds the lock, nothing is pulled').toBe(true);
    for (const { id, directory, rootfses, damage } of onDisk) {
      expect(damage, `damage of ${id}`).toBeUndefined();
      for (const ids of listRootfses(directory).rootfses.values())
        for (const rootfs of ids)
          expect(
            rootfses.map((named) => named.id),
            `${id}: its checkpoint names every rootfs directory`,
          ).toContain(rootfs);
      for (const rootfs of rootfses) {
        const whole = rootfs.ready && mounts.delete(rootfs.rootfs);
        mounts.delete(rootfs.rootfs);
        if (whole) found.add(rootfs.id);
        if (recovered) expect(whole, `${id}: after a recovery its rootfs ${rootfs.id} is whole`).toBe(true);
        expect(this.#allows(id, rootfs.id), `${id}: rootfs ${rootfs.id} is one that somebody was given`).toBe(true);
        if (whole) this.#must.set(rootfs.id, id);
        for (const layer of rootfs.layers) {
          expect(layer.path).toBe(layerFormDir(dockerStoreDir(stage.root), layer.id, rootfs.backend === 'overlay' ? 'overlay' : 'plain'));
          expect(existsSync(layer.path), `${id}: its layer ${layer.id} is in the store`).toBe(true);
        }
      }
    }
    expect([...mounts], 'mounts that no checkpoint names').toEqual([]);
    this.#may.clear();
    this.#untold.clear();
    for (const [rootfs, container] of this.#must) expect(found, `${container}: its rootfs stands`).toContain(rootfs);
  }

  /** Everything is destroyed: nothing at all is left. */
  async checkEmpty(stage: Stage): Promise<void> {
    this.#must.clear();
    this.#stained.clear();
    await this.check(stage, true);
    expect(
      scanContainers(stage.root).containers.map(({ id }) => id),
      'containers',
    ).toEqual([]);
    expect(readdirSync(layersDir(dockerStoreDir(stage.root))), 'layers').toEqual([]);
  }

  #allows(container: string, rootfs: string): boolean {
    if (this.#must.get(rootfs) === container || this.#may.get(rootfs) === container || this.#untold.has(container)) return true;
    return [...this.#stained].some((stained) => isWithin(container, stained));
  }

  #forget(rootfs: string): void {
    this.#must.delete(rootfs);
    this.#may.delete(rootfs);
  }

  #doubt(id: string): void {
    for (const [rootfs, container] of this.#must) {
      if (!isWithin(container, id)) continue;
      this.#must.delete(rootfs);
      this.#may.set(rootfs, container);
    }
  }
}

/** Whether `id` is `ancestor` or nested in it. */
export function isWithin(id: string, ancestor: string): boolean {
  return id === ancestor || id.startsWith(`${ancestor}.`);
}
