import { describe, expect, it } from 'vitest';
import { Fifo } from '../../../src/actors/runtime/fifo.ts';

describe('Fifo', () => {
  it('gives values back in the order they came', () => {
    const queue = new Fifo<number>();
    for (const n of [1, 2, 3]) queue.push(n);
    expect([queue.peek(), queue.size]).toEqual([1, 3]);
    expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([1, 2, 3, undefined]);
    expect([queue.peek(), queue.size]).toEqual([undefined, 0]);
  });

  it('takes a value out of the front, the middle and the end, once', () => {
    const queue = new Fifo<string>();
    const [a, , c, , e] = ['a', 'b', 'c', 'd', 'e'].map((value) => queue.push(value));
    expect([queue.remove(a!), queue.remove(c!), queue.remove(e!)]).toEqual([true, true, true]);
    expect([queue.remove(a!), queue.remove(c!), queue.remove(e!)]).toEqual([false, false, false]);
    queue.push('f');
    expect(queue.drain()).toEqual(['b', 'd', 'f']);
    expect(queue.size).toBe(0);
  });

  it('forgets the neighbours of a place that has left', () => {
    const queue = new Fifo<number>();
    const places = [1, 2, 3].map((value) => queue.push(value));
    queue.shift();
    queue.remove(places[1]!);
    expect([places[0]!.next, places[1]!.next, places[1]!.previous]).toEqual([undefined, undefined, undefined]);
  });
});
