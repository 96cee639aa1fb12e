/** Numbers from 0 to 1, the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** The seed of this run: ROOTWRIGHT_SEED to repeat one, else a new one. Put it into the title of the test. */
export function seedOfRun(): number {
  return Number(process.env['ROOTWRIGHT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
}
