import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { MountTable } from '../linux/mountinfo.ts';
import { syncDirectory } from '../linux/durable.ts';
import type { ContainerId } from '../paths/container-id.ts';
import {
  backendDir,
  checkpointPath,
  quarantineDir,
  quarantinedCheckpointPath,
  quarantineNotePath,
  readyPath,
  rootfsPath,
  scratchDir,
} from '../paths/provisioner.ts';
import type { Container, Rootfs } from './container-record.ts';
import type { ContainerTable } from './container-table.ts';
import { findContainers } from './find-containers.ts';
import { layersOfMount } from './layers-of-mount.ts';
import type { ProvisionerParts } from './parts.ts';
import { checkpoint } from './provision.ts';
import { planRecovery, stands, type FoundContainer, type FoundRootfs, type PlannedContainer } from './recovery-plan.ts';
import { describeRootfs, RecoveryNotes, type RecoveryReport } from './recovery-report.ts';
import { removeFile } from './remove-container.ts';
import { destroyRootfs, takeApart } from './take-apart.ts';

export interface RecoverOptions {
  /** Containers that the caller still wants. Every other one is destroyed, unless a known one is nested in it. Without: see planRecovery. */
  readonly known?: ReadonlySet<ContainerId> | undefined;
  /** Only tell what would be done. */
  readonly plan?: boolean | undefined;
}

/**
 * Brings `provisioner/` in order, and `table` in line with it. The caller holds the write lock. Whatever can't be put right is reported and
 * left for the next time; the rest goes on. Running it again finds nothing to do. Fails only where nothing can be told at all: IO_ERROR.
 */
export async function recoverContainers(parts: ProvisionerParts, table: ContainerTable, options: RecoverOptions): Promise<RecoveryReport> {
  const started = performance.now();
  const notes = new RecoveryNotes(options.plan ?? false);
  const found = await findContainers(parts.root, parts.kernel);
  const planned = planRecovery(found.containers, options.known);
  for (const path of found.strays)
    notes.reported({ path, found: 'something that has no place in the layout', action: 'leave', why: 'it is not ours to delete' });
  for (const { path, error } of found.unreadable)
    notes.failed({ path, found: 'a directory that cannot be read', action: 'leave', why: String(error) }, error);
  reportMissing(notes, found.containers, options.known);
  const unnamed = found.containers.some(({ rootfses }) => rootfses.some(({ entry }) => entry === undefined));
  const recovery = new Recovery(parts, table, unnamed ? await parts.kernel.mountTable() : undefined, notes);
  if (notes.plan) for (const container of planned) recovery.tell(container);
  else await recovery.run(planned, new Set(found.unreadable.map(({ path }) => path)));
  await recoverStores(parts, notes);
  return notes.report(performance.now() - started);
}

class Recovery {
  readonly #parts: ProvisionerParts;
  readonly #table: ContainerTable;
  /** Read only where a rootfs has no checkpoint that names it. */
  readonly #mounts: MountTable | undefined;
  readonly #notes: RecoveryNotes;

  constructor(parts: ProvisionerParts, table: ContainerTable, mounts: MountTable | undefined, notes: RecoveryNotes) {
    this.#parts = parts;
    this.#table = table;
    this.#mounts = mounts;
    this.#notes = notes;
  }

  async run(planned: readonly PlannedContainer[], unreadable: ReadonlySet<string>): Promise<void> {
    const onDisk = new Set(planned.map(({ container }) => container.id));
    for (const container of this.#table)
      if (!onDisk.has(container.id) && !container.busy && !unreadable.has(container.directory)) this.#table.forget(container);
    const destroyed: Array<{ plan: PlannedContainer; container: Container }> = [];
    const repairs: Array<() => Promise<void>> = [];
    for (const plan of planned) {
      const container = this.#table.ensure(plan.container.id);
      if (container.busy) continue; // asked for while recovery waited for the lock: its own caller answers for it
      this.#adopt(container, plan);
      if (!plan.keep) destroyed.push({ plan, container });
      else {
        this.#keep(plan);
        if (this.#needsRepair(plan)) repairs.push(() => this.#repair(container, plan));
      }
    }
    const tops = destroyed.filter(
      ({ container }) => container.parent === undefined || !destroyed.some((other) => other.container === container.parent),
    );
    await inParallel(
      tops.map(
        ({ container }) =>
          () =>
            this.#destroy(container),
      ),
    );
    for (const { plan, container } of destroyed) this.#noteDestroyed(plan, container);
    await inParallel(repairs);
  }

  /** Says what {@link run} would do. */
  tell(plan: PlannedContainer): void {
    const { container } = plan;
    if (!plan.keep) return this.#notes.destroyed({ container: container.id, found: describeContainer(plan), action: 'destroy', why: plan.why });
    this.#keep(plan);
    if (container.damage !== undefined) this.#notes.quarantined(quarantineItem(container));
    for (const [index, rootfs] of container.rootfses.entries())
      if (!stands(plan.verdicts[index]!)) this.#notes.repaired(removalItem(container, rootfs, plan.verdicts[index]!));
    for (const id of container.staleMarkers) this.#notes.repaired(staleMarkerItem(container, id));
  }

  #adopt(container: Container, { container: found, verdicts }: PlannedContainer): void {
    container.rootfses = [];
    for (const [index, rootfs] of found.rootfses.entries()) container.add(this.#toRootfs(found, rootfs, stands(verdicts[index]!)));
    container.checkpointed = found.checkpoint && found.damage === undefined;
    container.standing = true;
    container.onDisk = true;
    container.broken = false; // what a failed destroy left is judged anew
  }

  #toRootfs(found: FoundContainer, rootfs: FoundRootfs, whole: boolean): Rootfs {
    const { id, backend, entry } = rootfs;
    if (entry !== undefined) return { ...entry, whole, layersKnown: true };
    const directory = backendDir(found.directory, backend);
    const layers = this.#mounts && layersOfMount(this.#parts.root, backend, rootfsPath(directory, id), scratchDir(directory, id), this.#mounts);
    const unknown = { image: '', manifestDigest: '', configDigest: '', createdAt: 0 };
    return { id, backend, ...unknown, layers: layers ?? [], whole, layersKnown: layers !== undefined || !whole };
  }

  #needsRepair({ container, verdicts }: PlannedContainer): boolean {
    const { rootfses, damage, staleMarkers, temporaries } = container;
    if (damage !== undefined || staleMarkers.length > 0 || temporaries.length > 0) return true;
    return verdicts.some((verdict) => !stands(verdict)) || rootfses.some(({ entry }) => entry === undefined);
  }

  /** Notes a container that stays, and what is odd about it. */
  #keep({ container, verdicts, why }: PlannedContainer): void {
    this.#notes.kept(container.id);
    for (const [index, rootfs] of container.rootfses.entries()) {
      const path = rootfsPath(backendDir(container.directory, rootfs.backend), rootfs.id);
      const item = { container: container.id, rootfs: rootfs.id, path, action: 'keep', why };
      if (verdicts[index] === 'unmounted') this.#notes.unmounted({ ...item, found: 'a rootfs that is no longer mounted, as after a reboot' });
      if (stands(verdicts[index]!) && !this.#parts.backends.has(rootfs.backend))
        this.#notes.reported({ ...item, found: `a rootfs of the backend ${JSON.stringify(rootfs.backend)}, which this build does not know` });
    }
  }

  async #repair(container: Container, plan: PlannedContainer): Promise<void> {
    const { container: found, verdicts } = plan;
    try {
      for (const path of found.temporaries) removeFile(path);
      if (found.damage !== undefined) await this.#quarantine(found);
      for (const id of found.staleMarkers) {
        removeFile(readyPath(found.directory, id));
        this.#notes.repaired(staleMarkerItem(found, id));
      }
      let changed = found.damage !== undefined || found.rootfses.some(({ entry }) => entry === undefined);
      for (const [index, rootfs] of found.rootfses.entries()) {
        if (stands(verdicts[index]!)) continue;
        changed = (await this.#remove(container, found, rootfs, plan)) || changed;
      }
      if (changed) await checkpoint(this.#parts, container);
      this.#noteLayers(container, found);
    } catch (error) {
      this.#notes.failed({ container: found.id, found: 'a container to put right', action: 'repair', why: String(error) }, error);
    }
  }

  async #remove(container: Container, found: FoundContainer, rootfs: FoundRootfs, { verdicts }: PlannedContainer): Promise<boolean> {
    const item = removalItem(found, rootfs, verdicts[found.rootfses.indexOf(rootfs)]!);
    const own = container.rootfses.find(({ id, backend }) => id === rootfs.id && backend === rootfs.backend);
    if (own === undefined) return false;
    try {
      if (rootfs.ready) removeFile(readyPath(found.directory, rootfs.id));
      await destroyRootfs(this.#parts, container, own);
    } catch (error) {
      this.#notes.failed({ ...item, why: String(error) }, error);
      return false;
    }
    container.rootfses = container.rootfses.filter((other) => other !== own);
    this.#notes.repaired(item);
    return true;
  }

  async #quarantine(found: FoundContainer): Promise<void> {
    const directory = quarantineDir(this.#parts.root);
    const quarantined = quarantinedCheckpointPath(this.#parts.root, found.id, randomBytes(6).toString('hex'));
    mkdirSync(directory, { recursive: true });
    const from = checkpointPath(found.directory);
    writeFileSync(quarantineNotePath(quarantined), `This file was ${from}. Recovery set it aside: ${found.damage?.message ?? ''}\n`);
    renameSync(from, quarantined);
    await syncDirectory(directory);
    this.#notes.quarantined({ ...quarantineItem(found), path: quarantined });
  }

  #noteLayers(container: Container, found: FoundContainer): void {
    for (const rootfs of container.rootfses) {
      if (found.rootfses.some(({ id, entry }) => id === rootfs.id && entry !== undefined)) continue;
      const item = { container: found.id, rootfs: rootfs.id, path: found.directory, found: 'a rootfs that no checkpoint names' };
      if (rootfs.layersKnown) this.#notes.repaired({ ...item, action: 'checkpoint', why: 'its layers are known from its mount, or it needs none' });
      else this.#notes.reported({ ...item, action: 'keep', why: 'its layers are unknown: nothing is pruned until the container is destroyed' });
    }
  }

  async #destroy(container: Container): Promise<void> {
    await container.destroy(() => takeApart(this.#parts, container)).catch((error: unknown) => this.#errors.set(container.id, error));
  }

  readonly #errors = new Map<ContainerId, unknown>();

  #noteDestroyed(plan: PlannedContainer, container: Container): void {
    const { id } = plan.container;
    const item = { container: id, found: describeContainer(plan), action: 'destroy', why: plan.why };
    if (container.gone) return this.#notes.destroyed(item);
    const error = this.#errors.get(id);
    this.#notes.failed(error === undefined ? { ...item, why: 'what it is nested in, or what is nested in it, could not be destroyed' } : item, error);
  }
}

async function recoverStores(parts: ProvisionerParts, notes: RecoveryNotes): Promise<void> {
  for (const store of parts.stores) {
    try {
      const { swept, quarantined } = await store.recover({ plan: notes.plan });
      notes.swept(swept);
      for (const { path, reason } of quarantined)
        notes.quarantined({ path, found: `damage in the ${store.type} store`, action: 'quarantine', why: reason });
    } catch (error) {
      notes.failed({ found: `the ${store.type} store`, action: 'recover', why: String(error) }, error);
    }
  }
}

function reportMissing(notes: RecoveryNotes, found: readonly FoundContainer[], known: ReadonlySet<ContainerId> | undefined): void {
  if (known === undefined) return;
  const ids = new Set(found.map(({ id }) => id));
  for (const id of known)
    if (!ids.has(id))
      notes.reported({
        container: id,
        found: 'nothing on disk',
        action: 'leave',
        why: 'it is known, but was never provisioned here or is destroyed',
      });
}

function describeContainer({ container, verdicts }: PlannedContainer): string {
  if (container.damage !== undefined) return `a container with a damaged checkpoint: ${container.damage.message}`;
  if (container.rootfses.length === 0) return 'a container without any rootfs';
  return `a container with ${container.rootfses.map((rootfs, index) => describeRootfs(rootfs, verdicts[index]!)).join(', ')}`;
}

const removalItem = (container: FoundContainer, rootfs: FoundRootfs, verdict: PlannedContainer['verdicts'][number]) => ({
  container: container.id,
  rootfs: rootfs.id,
  path: rootfsPath(backendDir(container.directory, rootfs.backend), rootfs.id),
  found: describeRootfs(rootfs, verdict),
  action: 'destroy',
  why: verdict === 'missing' ? 'its directory is gone' : 'it was never finished, or its destroy had begun',
});

const quarantineItem = (container: FoundContainer) => ({
  container: container.id,
  path: checkpointPath(container.directory),
  found: 'a damaged checkpoint',
  action: 'quarantine',
  why: container.damage?.message ?? '',
});

const staleMarkerItem = (container: FoundContainer, id: string) => ({
  container: container.id,
  rootfs: id,
  path: readyPath(container.directory, id),
  found: 'a ready marker of a rootfs that does not exist',
  action: 'remove',
  why: 'nothing else of that rootfs is left',
});

const PARALLEL = 8;

async function inParallel(jobs: ReadonlyArray<() => Promise<void>>): Promise<void> {
  const queue = jobs.values();
  await Promise.all(
    Array.from({ length: Math.min(PARALLEL, jobs.length) }, async () => {
      for (const job of queue) await job();
    }),
  );
}
