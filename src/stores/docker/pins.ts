/** Ids (diff ids, config digests) that a get under way needs, with how many gets do: prune passes them over. */
export class Pins {
  readonly #counts = new Map<string, number>();

  has(id: string): boolean {
    return this.#counts.has(id);
  }

  /** Holds `ids` until the function that it gives is called. */
  hold(ids: Iterable<string>): () => void {
    const held = [...ids];
    for (const id of held) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
    return () => {
      for (const id of held.splice(0)) {
        const left = (this.#counts.get(id) ?? 0) - 1;
        if (left > 0) this.#counts.set(id, left);
        else this.#counts.delete(id);
      }
    };
  }
}
