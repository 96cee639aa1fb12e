import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openFileCalls } from '../../../src/linux/file-calls.ts';
import { openMemoryCalls } from '../../../src/linux/memory-calls.ts';
import { BatchApplier } from '../../../src/stores/layers/apply-batch.ts';
import { BatchWriter, FLAG, OPERATION, type EntryMetadata } from '../../../src/stores/layers/batch.ts';
import { describeRoot } from '../../support/requirements.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { readTree } from '../../support/tree.ts';

const metadata: EntryMetadata = {
  mode: 0o4751,
  uid: 3,
  gid: 4,
  modified: { seconds: 5 - 2 ** 31, nanoseconds: 7 },
  accessed: { seconds: 2 ** 33, nanoseconds: 0 },
  xattrs: [{ name: 'user.a', value: Buffer.from([0, 1, 2]) }],
};

const ways = [
  ['by calls on memory', openMemoryCalls()],
  ['by node:fs alone', undefined],
] as const;

describeRoot('BatchApplier', () => {
  afterEach(() => expect(process.umask()).toBe(0o22));

  it.each(ways)('%s: a file over three batches, another in one, links and a node', (_, calls) => {
    const target = join(temporaryDirectory('batch'), 'layer');
    mkdirSync(target);
    const applier = new BatchApplier(openFileCalls(), calls);
    const all = FLAG.chown | FLAG.chmod | FLAG.xattrs | FLAG.exactTimes;
    const apply = (write: (batch: BatchWriter) => void): string[] => {
      const batch = new BatchWriter(new ArrayBuffer(4096), Buffer.from(`${target}/`));
      write(batch);
      return applier.apply(1, target, batch.memory, batch.length);
    };
    const chunk = Buffer.from('0123456789');
    apply((batch) => {
      batch.begin(OPERATION.file, all | FLAG.sparse, 'l\xe4rge', 17);
      batch.metadata(metadata);
      batch.position(0);
      batch.size(300);
      batch.xattrs(metadata.xattrs);
      expect(batch.append(chunk, 0, 10)).toBe(10);
      expect(batch.contentEnd).toBe(10);
    });
    apply((batch) => {
      expect(batch.contentEnd).toBe(-1);
      batch.begin(OPERATION.more, 0, '', 0);
      batch.position(100);
      batch.append(chunk, 5, 10);
    });
    apply((batch) => {
      batch.begin(OPERATION.more, FLAG.last, '', 0);
      batch.position(200);
      batch.append(chunk, 0, 5);
      batch.begin(OPERATION.file, FLAG.last, 'small', 0);
      batch.metadata({ ...metadata, modified: { seconds: 5, nanoseconds: 0 }, accessed: undefined, xattrs: [] });
      batch.position(0);
      batch.append(chunk, 0, 3);
      batch.begin(OPERATION.symlink, FLAG.chown | FLAG.exactTimes, 'symlink', 2);
      batch.metadata(metadata);
      batch.text('\xff\xfe');
      batch.begin(OPERATION.node, all, 'device', 17);
      batch.metadata({ ...metadata, xattrs: [{ name: 'trusted.b', value: Buffer.alloc(0) }] });
      batch.device(0o020640, 1, 3);
      batch.xattrs([{ name: 'trusted.b', value: Buffer.alloc(0) }]);
      batch.begin(OPERATION.link, 0, 'link', target.length + 6);
      batch.text('small', Buffer.from(`${target}/`));
    });
    const tree = readTree(target);
    const modified = (5n - 2n ** 31n) * 1_000_000_000n + 7n;
    expect(tree.get('l\xe4rge')).toMatchObject({ size: 300, mode: '4751', uid: 3, gid: 4, modified, xattrs: 'user.a=000102' });
    expect(tree.get('small')).toMatchObject({ size: 3, mode: '0751', uid: 0, modified: 5_000_000_000n, linkGroup: 'link\0small' });
    expect(tree.get('symlink')).toMatchObject({ target: '\xff\xfe', uid: 3, modified });
    expect(tree.get('device')).toMatchObject({ device: '1:3', mode: '0640', gid: 4, modified, xattrs: 'trusted.b=' });
  });

  it.each(ways)('%s: never writes over what is there, and says which path', (_, calls) => {
    const target = join(temporaryDirectory('batch'), 'layer');
    mkdirSync(target);
    const applier = new BatchApplier(openFileCalls(), calls);
    const batch = new BatchWriter(new ArrayBuffer(4096), Buffer.from(`${target}/`));
    for (let count = 0; count < 2; count += 1) {
      batch.begin(OPERATION.file, FLAG.last, 'file', 0);
      batch.metadata({ ...metadata, xattrs: [] });
      batch.position(0);
    }
    expect(() => applier.apply(1, target, batch.memory, batch.length)).toThrowError(
      expect.objectContaining({ code: 'EEXIST', path: join(target, 'file') }),
    );
  });
});
