import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeOciLayout } from '../support/image-builder.ts';
import { repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { MAIN, documentOf, runCli } from './run-cli.ts';

const IMAGE = `oci:${join(repository, 'examples/demo/image')}`;
const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
/** Whoever is not root is an ordinary user already. */
const uid = isRoot ? { uid: NOBODY } : {};
// `npm test` runs where everybody can reach the repository, wherever it lies.
const obstacle = isRoot && !reachableForAll(MAIN) ? 'other users cannot reach the build directory' : undefined;

describe.skipIf(obstacle !== undefined)(`as an ordinary user${obstacle === undefined ? '' : ` [SKIPPED: ${obstacle}]`}`, () => {
  it('copy is the default, works, and leaves nothing', async () => {
    const root = join(ownDirectory(), 'root');
    const { status, stdout, stderr } = await runCli(['provision', 'web', IMAGE, '--root', root], uid);
    expect({ status }, stderr).toEqual({ status: 0 });
    const rootfs = stdout.trimEnd();
    expect(rootfs).toContain('/backends/copy/');
    expect(lstatSync(join(rootfs, 'usr/bin/greet')).nlink).toBe(2);
    expect(lstatSync(join(rootfs, 'usr/bin/greet')).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(rootfs, 'bin'))).toBe('usr/bin');
    expect(existsSync(join(rootfs, 'usr/share/doc/LICENSE'))).toBe(false);
    expect((await runCli(['destroy', 'web', '--root', root], uid)).status).toBe(0);
    expect(existsSync(rootfs)).toBe(false);
  });

  it('directories that their owner may not write to, or even enter, are no hindrance to destroy and prune', async () => {
    const root = join(ownDirectory(), 'root');
    const rootfs = (await runCli(['provision', 'web', IMAGE, '--root', root, '-q'], uid)).stdout.trimEnd();
    chmodSync(join(rootfs, 'opt/app'), 0);
    chmodSync(join(rootfs, 'usr'), 0o500);
    chmodSync(rootfs, 0o555);
    const layers = join(root, 'store/docker/layers');
    for (const layer of readdirSync(layers)) chmodSync(join(layers, layer, 'rootfs'), 0o500);
    const destroyed = await runCli(['destroy', 'web', '--root', root], uid);
    expect(destroyed.status, destroyed.stderr).toBe(0);
    const pruned = await runCli(['prune', '--root', root], uid);
    expect(pruned.status, pruned.stderr).toBe(0);
    expect([...readdirSync(layers), ...readdirSync(join(root, 'store/docker/gc')), ...readdirSync(join(root, 'provisioner/containers'))]).toEqual([]);
  });

  it('an image whose root directory is read-only, as that of Fedora', async () => {
    const directory = ownDirectory();
    writeOciLayout(join(directory, 'image'), [
      {
        layers: [
          {
            entries: [
              { path: './', mode: 0o555 },
              { path: './etc/', mode: 0o500 },
              { path: './etc/hostname', content: 'x' },
            ],
          },
        ],
      },
    ]);
    const image = `oci:${join(directory, 'image')}`;
    const root = join(directory, 'root');
    const made = await runCli(['provision', 'web', image, '--root', root, '-q'], uid);
    expect(made.status, made.stderr).toBe(0);
    expect(lstatSync(made.stdout.trimEnd()).mode & 0o777).toBe(0o555);
    expect((await runCli(['destroy', 'web', '--root', root], uid)).status).toBe(0);
    expect((await runCli(['prune', '--root', root], uid)).status).toBe(0);
    expect(readdirSync(join(root, 'store/docker/layers'))).toEqual([]);
  });

  it('the directory is below XDG_DATA_HOME, else below HOME; a relative XDG_DATA_HOME counts as none', async () => {
    const home = ownDirectory();
    const rootOf = async (env: Record<string, string>): Promise<unknown> => documentOf(await runCli(['doctor', '--json'], { ...uid, env }))['root'];
    expect(await rootOf({ HOME: home })).toBe(join(home, '.local/share/rootwright'));
    expect(await rootOf({ HOME: home, XDG_DATA_HOME: join(home, 'data') })).toBe(join(home, 'data/rootwright'));
    expect(await rootOf({ HOME: home, XDG_DATA_HOME: 'data' })).toBe(join(home, '.local/share/rootwright'));
  });

  it('a backend that needs root is refused with the reason', async () => {
    const root = join(ownDirectory(), 'root');
    const { status, stderr } = await runCli(['provision', 'web', IMAGE, '--backend', 'overlay', '--root', root], uid);
    expect(status).toBe(7);
    expect(stderr).toMatch(/\[BACKEND_UNAVAILABLE\]\nhint: 'rootwright doctor'/);
    const doctor = await runCli(['doctor', '--backend', 'overlay', '--root', root], uid);
    expect(doctor.status).toBe(7);
    expect(doctor.stdout).toMatch(/^overlay +root +no /m);
    expect((await runCli(['doctor', '--root', root], uid)).stdout).toMatch(/^copy +nothing +yes /m);
  });

  it('a directory that is not ours fails with the path and the cause', async () => {
    const { status, stderr } = await runCli(['provision', 'web', IMAGE, '--root', '/proc/1/rootwright'], uid);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error: .*\/proc\/1\/rootwright.*\[IO_ERROR\]/m);
  });
});

function ownDirectory(): string {
  const directory = join(temporaryDirectory('unprivileged'), 'home');
  mkdirSync(directory);
  if (isRoot) {
    chownSync(directory, NOBODY, NOBODY);
    chownSync(dirname(directory), NOBODY, NOBODY);
  }
  return directory;
}

function reachableForAll(path: string): boolean {
  return (statSync(path).mode & 0o005) !== 0 && (dirname(path) === path || reachableForAll(dirname(path)));
}
