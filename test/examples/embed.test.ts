import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { writeOciLayout } from '../support/image-builder.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);

it('examples/embed.ts does what it says, and leaves nothing behind', async () => {
  const directory = temporaryDirectory();
  const layout = join(directory, 'layout');
  mkdirSync(layout);
  writeOciLayout(layout, [
    { layers: [{ entries: [{ path: 'etc/hostname', content: 'x' }] }, { entries: [{ path: 'bin/sh', content: 'y' }] }], tag: 'latest' },
  ]);
  const example = fileURLToPath(new URL('../../examples/embed.js', import.meta.url));
  const root = join(directory, 'root');
  const { stdout } = await run(process.execPath, [example, root, `oci:${layout}:latest`]);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toBe('recovered: 0 kept, 0 destroyed, 0 failed');
  expect(lines[1]).toMatch(/^web: 2 layers by (overlay|copy) at \//);
  expect(lines.slice(3)).toEqual(['containers: web web.debug', 'late: ABORTED', 'destroyed: true, and again: false', 'pruned: 1 image, 2 layers']);
  expect(readdirSync(join(root, 'provisioner', 'containers'))).toEqual([]);
});
