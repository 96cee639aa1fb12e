import { isRootwrightError, RootwrightError, throwIfAborted } from '../../errors.ts';
import type { OnSwallowed } from '../backend-options.ts';
import type { NewEntryDefaults } from './entry.ts';
import type { CopyPool } from './pool.ts';
import type { CopyResult, CopyTask, DirectoryTask, LinkedName, PlainError, UnfinishedDirectory } from './task.ts';
import { pathString } from '../path-string.ts';

export interface CopyTreeRequest {
  /** Lowest first, in plain form. */
  readonly layers: readonly string[];
  /** The layer whose root directory gives the attributes of the tree's. */
  readonly rootLayer: string;
  /** An empty directory of ours. */
  readonly target: string;
  readonly defaults: NewEntryDefaults;
  /** As {@link CopyTask.attributed}. */
  readonly attributed?: ReadonlySet<string>;
}

/**
 * Makes the merged tree of `layers` in `target`, only what shows in the end, in several threads: directories are handed out whole and shared
 * again when a thread has nothing left. Names of one inode are collected meanwhile and linked at the end, when it is known which show.
 *
 * Settles when no thread works on the tree any more, also on failure and abort; what was made by then is left. The root directory's own
 * metadata is set too, unless the caller is an ordinary user, who could perhaps not move such a directory: the result says what is left.
 * Fails with COPY_FAILED, ABORTED.
 */
export async function copyTree(
  pool: CopyPool,
  request: CopyTreeRequest,
  signal?: AbortSignal,
  onSwallowed?: OnSwallowed,
): Promise<UnfinishedDirectory[]> {
  const copying = new TreeCopy(pool, request, onSwallowed);
  const abort = (): void => copying.abort();
  throwIfAborted(signal, `copying to ${request.target}`);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await copying.run();
  } catch (error) {
    throwIfAborted(signal, `copying to ${request.target}`);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Gives directories their metadata, the deepest first. Fails with COPY_FAILED. */
export async function finishDirectories(
  pool: CopyPool,
  request: CopyTreeRequest,
  unfinished: readonly UnfinishedDirectory[],
  onSwallowed?: OnSwallowed,
): Promise<void> {
  if (unfinished.length > 0) await new TreeCopy(pool, request, onSwallowed).finish(unfinished);
}

class TreeCopy {
  private readonly pool: CopyPool;
  private readonly request: CopyTreeRequest;
  private readonly onSwallowed: OnSwallowed | undefined;
  private readonly aborted = new Int32Array(new SharedArrayBuffer(4));
  private readonly queue: DirectoryTask[] = [];
  private readonly links = new Map<string, LinkedName[]>();
  private readonly unfinished: UnfinishedDirectory[] = [];
  private failure: RootwrightError | undefined;
  private running = 0;
  /** Threads that this tree could use and has no directory for. */
  private idle = 0;

  constructor(pool: CopyPool, request: CopyTreeRequest, onSwallowed: OnSwallowed | undefined) {
    this.pool = pool;
    this.request = request;
    this.onSwallowed = onSwallowed;
  }

  abort(): void {
    Atomics.store(this.aborted, 0, 1);
  }

  async run(): Promise<UnfinishedDirectory[]> {
    const root = this.rootTask();
    this.queue.push(root);
    await this.copyDirectories();
    await this.inParallel([...this.links.values()], (links) => this.task('links', { links }));
    const later = this.request.defaults.privileged ? [] : this.unfinished.filter(({ target }) => target === root.target);
    await this.finish(this.unfinished.filter((directory) => !later.includes(directory)));
    return later;
  }

  async finish(unfinished: readonly UnfinishedDirectory[]): Promise<void> {
    // A path is longer than that of the directory that holds it.
    const deepestFirst = unfinished.toSorted((a, b) => b.target.length - a.target.length);
    if (deepestFirst.length > 0) await this.settle(this.task('finish', { unfinished: deepestFirst }));
    if (this.failure !== undefined) throw this.failure;
  }

  private rootTask(): DirectoryTask {
    const { layers, rootLayer, target } = this.request;
    return { target: pathString(target), sources: layers.map(pathString).toReversed(), attributes: pathString(rootLayer) };
  }

  /** Until no directory is left and no thread works, or one has failed and all have stopped. */
  private copyDirectories(): Promise<void> {
    return new Promise((resolve, reject) => {
      const advance = (): void => {
        while (this.running < this.pool.threads && this.queue.length > 0 && this.failure === undefined) {
          const share = Math.ceil(this.queue.length / (this.pool.threads - this.running));
          void copyShare(this.queue.splice(0, share));
        }
        this.sayIdle(this.running === 0 ? 0 : this.pool.threads - this.running);
        if (this.running > 0) return;
        if (this.failure === undefined) resolve();
        else reject(this.failure);
      };
      const copyShare = async (directories: readonly DirectoryTask[]): Promise<void> => {
        this.running += 1;
        await this.settle(this.task('directories', { directories }));
        this.running -= 1;
        advance();
      };
      advance();
    });
  }

  private sayIdle(idle: number): void {
    this.pool.want(idle - this.idle);
    this.idle = idle;
  }

  private async inParallel(groups: readonly LinkedName[][], taskOf: (groups: readonly LinkedName[][]) => CopyTask): Promise<void> {
    const share = Math.ceil(groups.length / this.pool.threads);
    const shares = Array.from({ length: this.pool.threads }, (_, index) => groups.slice(index * share, (index + 1) * share));
    await Promise.all(shares.filter(({ length }) => length > 0).map((part) => this.settle(taskOf(part))));
    if (this.failure !== undefined) throw this.failure;
  }

  /** Never rejects: the first failure is kept and stops the other threads. */
  private async settle(task: CopyTask): Promise<void> {
    try {
      this.take(await this.pool.run(task));
    } catch (error) {
      this.fail(isRootwrightError(error) ? error : new RootwrightError('COPY_FAILED', 'a copy thread died', { cause: error }));
    }
  }

  private take({ directories, links, unfinished, swallowed, failure }: CopyResult): void {
    this.queue.push(...directories);
    this.unfinished.push(...unfinished);
    for (const link of links) {
      const names = this.links.get(link.inode);
      if (names === undefined) this.links.set(link.inode, [link]);
      else names.push(link);
    }
    for (const { what, error } of swallowed) this.onSwallowed?.(what, errorOf(error));
    if (failure !== undefined) this.fail(copyFailed(failure.path, errorOf(failure.error)));
  }

  private fail(error: RootwrightError): void {
    this.failure ??= error;
    this.abort();
  }

  private task(kind: CopyTask['kind'], work: Partial<Pick<CopyTask, 'directories' | 'links' | 'unfinished'>>): CopyTask {
    const { defaults, attributed } = this.request;
    return {
      kind,
      aborted: this.aborted,
      defaults,
      ...(attributed !== undefined && { attributed }),
      directories: [],
      links: [],
      unfinished: [],
      ...work,
    };
  }
}

function copyFailed(path: string, cause: Error & { code?: string }): RootwrightError {
  const hint =
    cause.code === 'EPERM'
      ? '; only root can make device nodes and give files to others'
      : cause.code === 'ENOSPC'
        ? '; make room, or use overlay'
        : '';
  return new RootwrightError('COPY_FAILED', `cannot make ${path}: ${cause.message}${hint}`, { cause, details: { path } });
}

function errorOf({ message, ...rest }: PlainError): Error & { code?: string } {
  return Object.assign(new Error(message), rest);
}
