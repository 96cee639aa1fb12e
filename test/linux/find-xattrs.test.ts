import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openFileCalls } from '../../src/linux/file-calls.ts';
import { findXattrs } from '../../src/linux/find-xattrs.ts';
import { describeWith } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describeWith(['getfattr'], 'findXattrs', () => {
  it('finds entries of every type that have attributes, under any name, and no others', async () => {
    const files = openFileCalls();
    const [one, two] = [temporaryDirectory(), temporaryDirectory()];
    const odd = Buffer.concat([Buffer.from(`${one}/d/`), Buffer.from([0xff, 0x0a, 0x5c, 0x20, 0xc3, 0xbc])]);
    mkdirSync(join(one, 'd/none'), { recursive: true });
    writeFileSync(odd, '');
    writeFileSync(join(one, 'plain'), '');
    symlinkSync('d', join(one, 'link'));
    for (const path of [odd, join(one, 'd'), join(one, 'link'), two]) files.setXattr(path, 'trusted.test', Buffer.from('x'));
    const found = await findXattrs([one, two]);
    expect([...found].toSorted()).toEqual([join(one, 'd'), odd.toString('latin1'), join(one, 'link'), two].toSorted());
  });

  it('stops when it is told to', async () => {
    await expect(findXattrs([temporaryDirectory()], AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORT_ERR' });
  });
});
