import { renameSync, rmdir } from 'node:fs';
import { entriesOf, ignoreAbsent, unlinkAll } from './directory-entries.ts';
import type { Path } from './kernel.ts';

/** A longer path and one more name may not fit into PATH_MAX. */
export const DEEP_PATH_BYTES = 3584;

/**
 * Deletes a directory of any size and depth, some directories at a time. The caller has made sure that no mount lies in it. A directory
 * that is too deep for its path is moved up to the top and deleted from there: a container can make such ones, and must not be able to
 * leave anything behind with them. Settles when nothing is under way any more, with the first error.
 */
export async function removeLargeTree(path: Path): Promise<void> {
  const top: Directory = { path, parent: undefined, children: 0, attempts: 0 };
  const removal = new Removal(top);
  await Promise.all(Array.from({ length: DIRECTORIES_AT_ONCE }, () => removal.work()));
  if (removal.failure !== undefined) throw removal.failure.error;
}

interface Directory {
  readonly path: Path;
  readonly parent: Directory | undefined;
  /** Directories in it that are still there. */
  children: number;
  attempts: number;
}

/** More would not help: four threads do the work. */
const DIRECTORIES_AT_ONCE = 6;
/** How often a directory is emptied again when something was put into it meanwhile. */
const ATTEMPTS = 10;

class Removal {
  failure: { readonly error: unknown } | undefined;
  private readonly top: Directory;
  /** Last in, first out: depth first, which keeps it short. */
  private readonly waiting: Directory[];
  private readonly idle: Array<() => void> = [];
  private active = 0;
  private moved = 0;

  constructor(top: Directory) {
    this.top = top;
    this.waiting = [top];
  }

  /** Takes directories until none is waiting or under way, or one has failed. */
  async work(): Promise<void> {
    for (;;) {
      const directory = this.failure === undefined ? this.waiting.pop() : undefined;
      if (directory !== undefined) await this.handle(directory);
      else if (this.active === 0) return this.wake();
      else await new Promise<void>((resolve) => this.idle.push(resolve));
    }
  }

  private async handle(directory: Directory): Promise<void> {
    this.active += 1;
    try {
      await this.empty(directory);
      if (directory.children === 0) await this.finish(directory);
    } catch (error) {
      this.failure ??= { error };
    }
    this.active -= 1;
    this.wake();
  }

  /** Unlinks all but directories, which are put on the list. */
  private async empty(directory: Directory): Promise<void> {
    const entries = entriesOf(directory.path);
    await unlinkAll(entries.filter(({ isDirectory }) => !isDirectory).map(({ path }) => path));
    const children = entries.filter(({ isDirectory }) => isDirectory).map(({ path }) => this.child(directory, path));
    for (const child of children) if (child.parent !== undefined) child.parent.children += 1;
    this.waiting.push(...children);
  }

  private child(parent: Directory, path: Path): Directory {
    if (path.length <= DEEP_PATH_BYTES) return { path, parent, children: 0, attempts: 0 };
    const target = this.placeAtTop();
    ignoreAbsent(() => renameSync(path, target));
    return { path: target, parent: this.top, children: 0, attempts: 0 };
  }

  private placeAtTop(): Path {
    const name = `/.removing-${process.pid}-${(this.moved += 1)}`;
    return typeof this.top.path === 'string' ? this.top.path + name : Buffer.concat([this.top.path, Buffer.from(name)]);
  }

  /** Removes an emptied directory, and those above it that this empties. */
  private async finish(emptied: Directory): Promise<void> {
    let directory: Directory | undefined = emptied;
    while (directory !== undefined && directory.children === 0) {
      const error = await removeDirectory(directory.path);
      if (error !== null && error.code === 'ENOTEMPTY' && (directory.attempts += 1) < ATTEMPTS) {
        this.waiting.push(directory);
        return;
      }
      if (error !== null && error.code !== 'ENOENT') throw error;
      directory = directory.parent;
      if (directory !== undefined) directory.children -= 1;
    }
  }

  private wake(): void {
    for (const resolve of this.idle.splice(0)) resolve();
  }
}

function removeDirectory(path: Path): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => rmdir(path, resolve));
}
