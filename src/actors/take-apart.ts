import { isRootwrightError, RootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import { removeTree } from '../linux/remove-tree.ts';
import { unmountAll } from '../linux/unmount-all.ts';
import { backendDir, readyPath, rootfsPath, scratchDir } from '../paths/provisioner.ts';
import type { Container, Rootfs } from './container-record.ts';
import type { ProvisionerParts } from './parts.ts';
import { removeContainerDirectory, removeFile } from './remove-container.ts';
import { settleAll } from './runtime/collect.ts';

/**
 * Takes a container apart: nested containers first, then its rootfses, then its directory; its parents' directories stay. It takes no lock,
 * so that recursing can't wait for a prune that waits for us (defect R3 of mesos.md 3.7): whoever calls it holds the lock.
 *
 * Goes as far as it can and fails with DESTROY_FAILED, `details.failures` naming each thing that stayed; it can then be called again.
 */
export async function takeApart(parts: ProvisionerParts, container: Container): Promise<void> {
  if (container.children.size > 0) {
    const { errors } = await settleAll(Array.from(container.children, (child) => destroyNested(parts, child)));
    if (errors.length > 0) throw destroyFailed(parts, container, errors, 'its nested containers could not be destroyed');
  }
  const { rootfses } = container;
  // The markers go first: killed from here on, recovery knows that these are no longer whole.
  for (const rootfs of rootfses) unmark(container, rootfs);
  const own =
    rootfses.length === 1
      ? await one(parts, container, rootfses[0]!)
      : await settleAll(rootfses.map((rootfs) => destroyRootfs(parts, container, rootfs)));
  if (own.errors.length > 0) throw destroyFailed(parts, container, own.errors, 'its root filesystems could not be taken apart');
  try {
    await removeContainerDirectory(parts.kernel, container);
  } catch (error) {
    throw destroyFailed(parts, container, [error], `its directory ${container.directory} could not be removed`);
  }
  container.rootfses = [];
  container.checkpointed = false;
  container.standing = false;
}

/** One rootfs of a container, by the backend that made it, or in a way that fits any where this build does not know that backend. */
export async function destroyRootfs(parts: ProvisionerParts, container: Container, rootfs: Rootfs): Promise<void> {
  const started = performance.now();
  const directory = backendDir(container.directory, rootfs.backend);
  const path = rootfsPath(directory, rootfs.id);
  const backend = parts.backends.get(rootfs.backend);
  const label = backend === undefined ? 'unknown' : rootfs.backend;
  try {
    if (backend === undefined) await destroyOfAnyBackend(parts.kernel, path, scratchDir(directory, rootfs.id));
    else await backend.destroy({ rootfs: path, backendDir: directory });
    parts.metrics.increment('destroys_total', { backend: label, outcome: 'ok' });
    parts.metrics.observe('destroy_seconds', { backend: label }, (performance.now() - started) / 1000);
  } catch (cause) {
    parts.metrics.increment('destroys_total', { backend: label, outcome: 'failed' });
    throw new RootwrightError('DESTROY_FAILED', `${rootfs.backend} rootfs ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      details: {
        container: container.id,
        rootfs: rootfs.id,
        backend: rootfs.backend,
        path,
        code: isRootwrightError(cause) ? cause.code : 'IO_ERROR',
      },
    });
  }
}

/** Removes the ready marker of a rootfs. */
export function unmark(container: Container, rootfs: Rootfs): void {
  if (!rootfs.whole) return;
  removeFile(readyPath(container.directory, rootfs.id));
  rootfs.whole = false;
}

function destroyNested(parts: ProvisionerParts, child: Container): Promise<void> {
  return child.destroy(() => takeApart(parts, child));
}

/** The ordinary case, with fewer promises. */
async function one(parts: ProvisionerParts, container: Container, rootfs: Rootfs): Promise<{ errors: unknown[] }> {
  try {
    await destroyRootfs(parts, container, rootfs);
    return { errors: [] };
  } catch (error) {
    return { errors: [error] };
  }
}

async function destroyOfAnyBackend(kernel: Kernel, rootfs: string, scratch: string): Promise<void> {
  for (const path of [rootfs, scratch]) {
    await unmountAll(kernel, path);
    await removeTree(kernel, path);
  }
}

function destroyFailed(parts: ProvisionerParts, container: Container, errors: readonly unknown[], why: string): RootwrightError {
  parts.metrics.increment('remove_container_errors_total', {});
  const failures = errors.flatMap(failuresOf);
  const messages = failures.map(({ message }) => message).join('; ');
  return new RootwrightError('DESTROY_FAILED', `container ${container.id} was not destroyed, ${why}: ${messages}; destroy can be tried again`, {
    cause: errors.length === 1 ? errors[0] : new AggregateError(errors),
    details: { container: container.id, failures },
  });
}

interface Failure {
  readonly message: string;
  readonly [fact: string]: unknown;
}

/** The failures of nested containers, flat. */
function failuresOf(error: unknown): Failure[] {
  if (!isRootwrightError(error)) return [{ message: error instanceof Error ? error.message : String(error) }];
  const { failures } = error.details;
  return Array.isArray(failures) ? (failures as Failure[]) : [{ ...error.details, message: error.message }];
}
