import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kernel } from '../../linux/kernel.ts';
import { removeTree } from '../../linux/remove-tree.ts';
import type { StoreLogger } from '../logger.ts';

/**
 * Deletes what lies in a directory, one entry at a time, in the background. What can't be deleted is logged, counted and tried again by
 * the next sweep; it never fails anybody.
 */
export class Sweeper {
  readonly #kernel: Kernel;
  readonly #logger: StoreLogger;
  #errors = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(kernel: Kernel, logger: StoreLogger) {
    this.#kernel = kernel;
    this.#logger = logger;
  }

  /** Failures so far. */
  get errors(): number {
    return this.#errors;
  }

  /** Sweeps `directory` after all sweeps before; tells the paths that are gone when it has ended. Never rejects. */
  sweep(directory: string): Promise<string[]> {
    const swept = this.#running.then(() => this.#sweepNow(directory));
    this.#running = swept;
    return swept;
  }

  /** Deletes one tree now. False where that failed. Never rejects. */
  async remove(path: string): Promise<boolean> {
    try {
      await removeTree(this.#kernel, path);
      return true;
    } catch (error) {
      this.#errors += 1;
      this.#logger.warn({ err: error, path }, 'could not be deleted; the next sweep tries again');
      return false;
    }
  }

  /** Settles when no sweep is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #sweepNow(directory: string): Promise<string[]> {
    const swept: string[] = [];
    const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') {
        this.#errors += 1;
        this.#logger.warn({ err: error, path: directory }, 'could not be swept');
      }
      return [];
    });
    for (const name of names) if (await this.remove(join(directory, name))) swept.push(join(directory, name));
    return swept;
  }
}
