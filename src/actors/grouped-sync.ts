import { closeSync, constants, fsync, openSync } from 'node:fs';

/**
 * Flushes directories, many callers sharing a flush: one that begins after the call covers it, so of all who ask while a flush of the same
 * directory is under way, one further flush serves all. With sixteen provisions at once, `containers/` is flushed a few times, not sixteen.
 */
export class GroupedSync {
  readonly #directories = new Map<string, { current: Promise<void>; next: Promise<void> | undefined }>();

  /** Every name made in `directory` before the call is durable when this settles. Fails as open(2) and fsync(2) do. */
  sync(directory: string): Promise<void> {
    const flushes = this.#directories.get(directory);
    if (flushes === undefined) return this.#begin(directory);
    flushes.next ??= flushes.current.then(
      () => this.#begin(directory),
      () => this.#begin(directory),
    );
    return flushes.next;
  }

  #begin(directory: string): Promise<void> {
    const flushes = { current: flushDirectory(directory), next: undefined };
    this.#directories.set(directory, flushes);
    const leave = (): void => {
      if (flushes.next === undefined && this.#directories.get(directory) === flushes) this.#directories.delete(directory);
    };
    flushes.current.then(leave, leave);
    return flushes.current;
  }
}

/** Flushes an open file. */
export function flush(file: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(file, (error) => (error === null ? resolve() : reject(error))));
}

async function flushDirectory(path: string): Promise<void> {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await flush(directory);
  } finally {
    closeSync(directory);
  }
}
