import { closeSync, constants, fsync, openSync } from 'node:fs';

/**
 * Flushes files and directories, what many callers ask for together. While a batch of flushes is under way newcomers wait; when it has
 * ended they all start at once, a directory that several ask for only once. A journal commits what has come in by then in one go, so with
 * sixteen provisions at a time that is a few commits instead of sixteen times two. Who comes alone waits for nobody.
 */
export class GroupedSync {
  #next: Batch | undefined;
  #underWay = false;

  /**
   * Settles when the content of `file`, an open descriptor, and every name made in `directories` before the call are durable. Fails as
   * open(2) and fsync(2) do, only once all of them have settled: the descriptor may then be closed. Never fails for what others asked.
   */
  flush(file: number, directories: readonly string[]): Promise<void> {
    const batch: Batch = (this.#next ??= { files: [], directories: new Map() });
    const content = outcome();
    batch.files.push({ file, content });
    const names = directories.map((directory) => {
      const wanted = batch.directories.get(directory) ?? outcome();
      batch.directories.set(directory, wanted);
      return wanted.settled;
    });
    if (!this.#underWay) this.#start(batch);
    return allSettled([content.settled, ...names]);
  }

  #start(batch: Batch): void {
    this.#next = undefined;
    this.#underWay = true;
    let left = batch.files.length + batch.directories.size;
    const end = (): void => {
      left -= 1;
      if (left > 0) return;
      this.#underWay = false;
      if (this.#next !== undefined) this.#start(this.#next);
    };
    for (const { file, content } of batch.files) this.flushFile(file, (error) => (content.settle(error), end()));
    for (const [directory, names] of batch.directories) this.flushDirectory(directory, (error) => (names.settle(error), end()));
  }

  /** One fsync(2) on libuv's pool. */
  protected flushFile(file: number, done: (error: unknown) => void): void {
    fsync(file, done);
  }

  protected flushDirectory(path: string, done: (error: unknown) => void): void {
    let directory: number;
    try {
      directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      return done(error);
    }
    this.flushFile(directory, (error) => {
      closeSync(directory);
      done(error);
    });
  }
}

interface Batch {
  readonly files: Array<{ readonly file: number; readonly content: Outcome }>;
  readonly directories: Map<string, Outcome>;
}

/** How one flush ended: null, or the error. It never rejects, so that nobody has to look at it. */
interface Outcome {
  readonly settled: Promise<unknown>;
  readonly settle: (error: unknown) => void;
}

function outcome(): Outcome {
  let settle!: (error: unknown) => void;
  const settled = new Promise<unknown>((resolve) => {
    settle = resolve;
  });
  return { settled, settle };
}

async function allSettled(outcomes: ReadonlyArray<Promise<unknown>>): Promise<void> {
  for (const error of await Promise.all(outcomes)) if (error !== null && error !== undefined) throw error;
}
