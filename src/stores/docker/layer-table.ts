import { throwIfAborted } from '../../errors.ts';
import type { LayerForm } from '../../paths/docker-store.ts';

/**
 * Layers that are being unpacked now, so that two images that want the same one at once unpack it once. An entry is one run of the work,
 * compared by identity: a run that was given up and is still coming to its end never stands in the way of the next one, nor removes it
 * from the table (Mesos R7).
 */
export class LayerTable {
  readonly #works = new Map<string, LayerWork>();

  /** The work on this layer that one can still join. */
  find(diffId: string, form: LayerForm): LayerWork | undefined {
    return this.#works.get(`${diffId} ${form}`);
  }

  /** Starts the work. The caller must join it in the same turn. */
  start(diffId: string, form: LayerForm, run: LayerRun): LayerWork {
    const key = `${diffId} ${form}`;
    const work = new LayerWork(run, () => {
      if (this.#works.get(key) === work) this.#works.delete(key);
    });
    this.#works.set(key, work);
    return work;
  }
}

/** `signal` is aborted when nobody waits any more; the work then settles once it has really stopped. */
export type LayerRun = (onBytes: (bytes: number) => void, signal: AbortSignal) => Promise<void>;

/** One run, shared by all who join it. */
export class LayerWork {
  /** Settles, never rejects, when the run has ended and nothing of it goes on. */
  readonly settled: Promise<void>;
  readonly #controller = new AbortController();
  readonly #result: Promise<void>;
  readonly #listeners = new Set<(bytes: number) => void>();
  readonly #leaveTable: () => void;
  #users = 0;
  #settled = false;

  constructor(run: LayerRun, leaveTable: () => void) {
    this.#leaveTable = leaveTable;
    this.#result = run((bytes) => this.#listeners.forEach((listener) => listener(bytes)), this.#controller.signal).finally(leaveTable);
    const end = (): void => {
      this.#settled = true;
    };
    this.settled = this.#result.then(end, end);
  }

  get hasSettled(): boolean {
    return this.#settled;
  }

  /**
   * Waits for the run. A caller whose signal aborts leaves at once, with ABORTED, while others wait; the last one to leave stops the run
   * and waits until it has stopped. `onBytes` hears how far it is.
   */
  async join(onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, 'unpacking a layer');
    this.#users += 1;
    this.#listeners.add(onBytes);
    let onAbort: (() => void) | undefined;
    const left = new Promise<'left'>((resolve) => {
      onAbort = () => resolve('left');
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      const outcome = await Promise.race([this.#result.then(() => 'done' as const), left]);
      if (outcome === 'done') return;
      if (this.#users === 1) {
        this.#leaveTable();
        this.#controller.abort(signal.reason);
        await this.settled;
      }
      throwIfAborted(signal, 'unpacking a layer');
    } finally {
      this.#users -= 1;
      this.#listeners.delete(onBytes);
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    }
  }
}
