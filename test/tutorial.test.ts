import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MAIN } from './cli/run-cli.ts';
import { repository } from './support/repository.ts';
import { temporaryDirectory } from './support/temporary-directory.ts';

const busybox = join(process.env['ROOTWRIGHT_IMAGES'] ?? join(repository, 'build/images'), 'oci/tiny');
const obstacle =
  process.getuid?.() !== 0 || process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] !== undefined
    ? 'needs root (mount, mknod, trusted.* attributes)'
    : existsSync(busybox)
      ? undefined
      : 'no real images';

it.skipIf(obstacle !== undefined)(
  `every command of the tutorial does what it says [SKIPPED: ${obstacle}]`.replace(' [SKIPPED: undefined]', ''),
  () => {
    const directory = temporaryDirectory('tutorial');
    const bin = join(directory, 'bin');
    const work = join(directory, 'work');
    mkdirSync(bin);
    mkdirSync(work);
    writeFileSync(join(bin, 'rootwright'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    chmodSync(join(bin, 'rootwright'), 0o755);
    symlinkSync(busybox, join(work, 'busybox'));

    const script = commandsOf('docs/tutorial.md').filter((command) => !/^(npm|alias|cd|skopeo) /.test(command));
    expect(script.length).toBeGreaterThan(20);
    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-exc', script.join('\n')], {
      cwd: work,
      encoding: 'utf8',
      env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: directory },
    });
    expect({ status }, stderr).toEqual({ status: 0 });
    expect(stdout).toContain('hello from inside\n');
    // The image was a link, and went with the directory.
    expect(readdirSync(work)).toEqual([]);
    expect(execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })).not.toContain(directory);
  },
);

function commandsOf(document: string): string[] {
  const blocks = readFileSync(join(repository, document), 'utf8').matchAll(/^```console\n(.*?)^```/gms);
  return [...blocks].flatMap(([, block = '']) => [...block.matchAll(/^\$ (.*)$/gm)].map(([, command = '']) => command));
}
