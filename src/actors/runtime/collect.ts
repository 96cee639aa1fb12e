/**
 * The values of all, in order; or the failure that came first in time, but only when all have settled: nothing runs on unobserved (a
 * `Promise.all` that rejects early lets a clean-up begin beside work that still writes). Where `abort` is given, the first failure
 * aborts it, so that the others, which listen, do not finish in vain. libprocess's `collect`.
 */
export async function collect<T>(promises: Iterable<PromiseLike<T> | T>, abort?: AbortController): Promise<T[]> {
  let first: { readonly error: unknown } | undefined;
  const watched = Array.from(promises, (promise) =>
    Promise.resolve(promise).catch((error: unknown) => {
      if (first === undefined) {
        first = { error };
        abort?.abort(error);
      }
      throw error;
    }),
  );
  const results = await Promise.allSettled(watched);
  if (first !== undefined) throw first.error;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

/** Waits for all and never fails: the values and the failures apart, each in order. libprocess's `await`. */
export async function settleAll<T>(promises: Iterable<PromiseLike<T> | T>): Promise<{ values: T[]; errors: unknown[] }> {
  const values: T[] = [];
  const errors: unknown[] = [];
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'fulfilled') values.push(result.value);
    else errors.push(result.reason);
  }
  return { values, errors };
}
