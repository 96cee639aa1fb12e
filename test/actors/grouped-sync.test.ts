import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GroupedSync } from '../../src/actors/grouped-sync.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('GroupedSync', () => {
  it('serves all who ask while a flush is under way by one further flush', async () => {
    const directory = temporaryDirectory();
    const syncs = new GroupedSync();
    const first = syncs.sync(directory);
    const [second, third] = [syncs.sync(directory), syncs.sync(directory)];
    expect(second).not.toBe(first); // what is made after the first has begun is not covered by it
    expect(third).toBe(second);
    await Promise.all([first, second, third]);
    const later = syncs.sync(directory);
    expect(later).not.toBe(second);
    await later;
  });

  it('keeps directories apart, and fails as the system does for everyone, once', async () => {
    const directory = temporaryDirectory();
    const syncs = new GroupedSync();
    const absent = join(directory, 'absent');
    const outcomes = await Promise.allSettled([syncs.sync(absent), syncs.sync(directory), syncs.sync(absent), syncs.sync(absent)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'rejected']);
    await expect(syncs.sync(absent)).rejects.toMatchObject({ code: 'ENOENT' });
    await syncs.sync(directory);
  });
});
