import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { createEngine } from '../../src/index.ts';
import { missingImages, ociImage } from '../support/images.ts';
import { describeWith } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const missing = missingImages(['tiny', 'base']);
const run = promisify(execFile);

if (missing !== undefined) it.skip(`a shell in a rootfs [SKIPPED: ${missing}]`, () => undefined);
else
  describeWith(['runc'], 'a shell that runc starts in a rootfs', () => {
    it.each([
      ['tiny', 'overlay'],
      ['tiny', 'copy'],
      ['base', 'overlay'],
      ['base', 'copy'],
    ] as const)('%s by %s: runs, reads the image, writes, and destroy takes what it wrote', async (image, backend) => {
      const directory = temporaryDirectory('runc');
      const engine = await createEngine({ root: join(directory, 'root'), backend });
      try {
        await engine.recover();
        const { rootfs } = await engine.provision('shell', ociImage(image));
        const script = 'set -e; head -n 1 /etc/passwd; id -u; echo written >/root/made; ls /root; exec cat /root/made';
        const { stdout } = await runShell(directory, rootfs, script);
        expect(stdout).toBe(`root:x:0:0:root:/root:/bin/${image === 'tiny' ? 'sh' : 'bash'}\n0\nmade\nwritten\n`);
        expect(readFileSync(join(rootfs, 'root/made'), 'utf8')).toBe('written\n');
        await engine.destroy('shell');
        const again = await engine.provision('shell', ociImage(image));
        expect((await runShell(directory, again.rootfs, 'test ! -e /root/made && echo clean')).stdout).toBe('clean\n');
        expect(await engine.destroy('shell')).toBe(true);
      } finally {
        await engine.close();
      }
    });
  });

/** Runs `script` in `rootfs` with namespaces of its own, the host's network, and runc's state below `directory`. */
async function runShell(directory: string, rootfs: string, script: string): Promise<{ stdout: string; stderr: string }> {
  const id = `rootwright-test-${randomUUID()}`;
  const bundle = join(directory, id);
  mkdirSync(bundle);
  writeFileSync(
    join(bundle, 'config.json'),
    JSON.stringify({
      ociVersion: '1.0.2',
      process: {
        user: { uid: 0, gid: 0 },
        args: ['/bin/sh', '-c', script],
        env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
        cwd: '/',
        noNewPrivileges: true,
      },
      root: { path: rootfs },
      hostname: id.slice(0, 60),
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
      linux: { cgroupsPath: `/${id}`, namespaces: ['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })) },
    }),
  );
  return run('runc', ['--root', join(directory, 'runc'), 'run', '--bundle', bundle, id], { timeout: 30_000 });
}
