/**
 * A first-in first-out queue in which everything is O(1), taking an item out of the middle too: a cancelled waiter leaves nothing behind.
 * (`Array.shift` moves every item once an array is long: 50,000 waiting turns would cost seconds.)
 */
export class Fifo<T> {
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Queues `value` at the end; the answer is its place, for {@link remove}. */
  push(value: T): Place<T> {
    const place: Place<T> = { value, queued: true, previous: this.#last, next: undefined };
    if (this.#last === undefined) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.#size += 1;
    return place;
  }

  /** The next value, left where it is. */
  peek(): T | undefined {
    return this.#first?.value;
  }

  /** Takes the next value out. */
  shift(): T | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.remove(first);
    return first.value;
  }

  /** Takes the value at `place` out; false where it has left already. */
  remove(place: Place<T>): boolean {
    if (!place.queued) return false;
    place.queued = false;
    if (place.previous === undefined) this.#first = place.next;
    else place.previous.next = place.next;
    if (place.next === undefined) this.#last = place.previous;
    else place.next.previous = place.previous;
    // A place that someone still holds must not keep its old neighbours alive.
    place.previous = undefined;
    place.next = undefined;
    this.#size -= 1;
    return true;
  }

  /** Takes everything out, in order. */
  drain(): T[] {
    const values: T[] = [];
    for (let value = this.shift(); value !== undefined; value = this.shift()) values.push(value);
    return values;
  }
}

/** Where a value stands in a {@link Fifo}. */
export interface Place<T> {
  readonly value: T;
  /** False once the value has left the queue. */
  queued: boolean;
  previous: Place<T> | undefined;
  next: Place<T> | undefined;
}
