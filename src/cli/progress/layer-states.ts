import type { PullProgress } from '../../stores/store.ts';

/** What is known of each layer under way, in the order in which they were first heard of. */
export class LayerStates {
  readonly #layers = new Map<string, PullProgress>();

  /** Takes one event in; answers whether the layer has just reached its end. */
  update(progress: PullProgress): boolean {
    const before = this.#layers.get(progress.layer);
    if (before !== undefined && isFinal(before)) return false;
    this.#layers.set(progress.layer, progress);
    return isFinal(progress);
  }

  all(): PullProgress[] {
    return [...this.#layers.values()];
  }
}

export function isFinal({ state }: PullProgress): boolean {
  return state === 'done' || state === 'exists';
}
