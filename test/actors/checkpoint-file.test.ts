import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../src/actors/checkpoint-read.ts';
import { rewriteCheckpoint, writeFirstCheckpoint } from '../../src/actors/checkpoint-file.ts';
import { GroupedSync } from '../../src/actors/grouped-sync.ts';
import { parseContainerId } from '../../src/paths/container-id.ts';
import { checkpointPath, containerDir } from '../../src/paths/provisioner.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

class RecordedSync extends GroupedSync {
  readonly directories: string[] = [];

  override flush(file: number, directories: readonly string[]): Promise<void> {
    this.directories.push(...directories);
    return super.flush(file, directories);
  }
}

const checkpoint = (container: string): { container: string; rootfses: [] } => ({ container, rootfses: [] });

describe('the checkpoint file', () => {
  it('is there when it has been written, with every directory on the way to it flushed', async () => {
    const root = temporaryDirectory();
    const syncs = new RecordedSync();
    const directory = containerDir(root, parseContainerId('a.b'));
    await writeFirstCheckpoint(root, directory, checkpoint('a.b'), syncs);
    expect(readCheckpoint(directory, 'a.b')).toEqual(checkpoint('a.b'));
    expect(readdirSync(directory)).toEqual(['layers']);
    expect(syncs.directories.map((name) => relative(join(root, 'provisioner'), name)).toSorted()).toEqual([
      'containers',
      'containers/a',
      'containers/a/containers',
      'containers/a/containers/b',
    ]);
  });

  it('is replaced as a whole, and nothing is left beside it', async () => {
    const root = temporaryDirectory();
    const directory = containerDir(root, parseContainerId('a'));
    await writeFirstCheckpoint(root, directory, checkpoint('a'), new GroupedSync());
    const before = statSync(checkpointPath(directory)).ino;
    const rootfs = { id: 'r', backend: 'copy', image: '', manifestDigest: '', configDigest: '', layers: [], createdAt: 1 };
    await rewriteCheckpoint(directory, { container: 'a', rootfses: [rootfs] });
    expect(readCheckpoint(directory, 'a')?.rootfses).toEqual([rootfs]);
    expect(statSync(checkpointPath(directory)).ino).not.toBe(before);
    expect(readdirSync(directory)).toEqual(['layers']);
  });

  it('that cannot be written fails with CHECKPOINT_FAILED and leaves no temporary file', async () => {
    const root = temporaryDirectory();
    const directory = containerDir(root, parseContainerId('a'));
    mkdirSync(join(checkpointPath(directory), 'in-the-way'), { recursive: true });
    await expect(writeFirstCheckpoint(root, directory, checkpoint('a'), new GroupedSync())).rejects.toMatchObject({ code: 'CHECKPOINT_FAILED' });
    await expect(rewriteCheckpoint(directory, checkpoint('a'))).rejects.toMatchObject({ code: 'CHECKPOINT_FAILED' });
    expect(readdirSync(directory)).toEqual(['layers']);
  });

  it('whose flush fails is not taken for durable', async () => {
    const root = temporaryDirectory();
    const syncs = new GroupedSync();
    syncs.flush = () => Promise.reject(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO', syscall: 'fsync' }));
    const directory = containerDir(root, parseContainerId('a'));
    await expect(writeFirstCheckpoint(root, directory, checkpoint('a'), syncs)).rejects.toMatchObject({ code: 'CHECKPOINT_FAILED' });
  });

  it('is read as undefined where it is missing, and refused as corrupt where it is a symlink or that of another', () => {
    const directory = temporaryDirectory();
    expect(readCheckpoint(directory, 'a')).toBeUndefined();
    writeFileSync(join(directory, 'elsewhere'), '');
    symlinkSync('elsewhere', checkpointPath(directory));
    expect(() => readCheckpoint(directory, 'a')).toThrow(/no regular file/);
  });
});
