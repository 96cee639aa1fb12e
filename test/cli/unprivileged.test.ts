import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { repository } from '../support/repository.ts';
import { makeDirectory, removeDirectory, temporaryDirectory } from '../support/temporary-directory.ts';
import { type CliOptions, MAIN, documentOf, runCli } from './run-cli.ts';

const IMAGE = (): string => `oci:${join(view, 'examples/demo/image')}`;
const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
const obstacle = isRoot ? process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] : undefined;

/** Where everybody can reach the repository, wherever it lies: root becomes somebody else for these tests. */
let view = repository;
/** How to run the program as an ordinary user; whoever is not root is one already. */
const asUser = (): CliOptions => (isRoot ? { uid: NOBODY, main: join(view, relative(repository, MAIN)) } : {});

let viewDirectory: string | undefined;

beforeAll(() => {
  if (!isRoot || obstacle !== undefined) return;
  viewDirectory = makeDirectory('view');
  chmodSync(viewDirectory, 0o755);
  view = join(viewDirectory, 'repository');
  mkdirSync(view);
  execFileSync('mount', ['--bind', repository, view]);
});

afterAll(() => {
  if (viewDirectory !== undefined) removeDirectory(viewDirectory);
});

describe.skipIf(obstacle !== undefined)(`as an ordinary user${obstacle === undefined ? '' : ` [SKIPPED: ${obstacle}]`}`, () => {
  it('copy is the default, works, and leaves nothing', async () => {
    const root = join(ownDirectory(), 'root');
    const { status, stdout, stderr } = await runCli(['provision', 'web', IMAGE(), '--root', root], asUser());
    expect({ status }, stderr).toEqual({ status: 0 });
    const rootfs = stdout.trimEnd();
    expect(rootfs).toContain('/backends/copy/');
    expect(lstatSync(join(rootfs, 'usr/bin/greet')).nlink).toBe(2);
    expect(lstatSync(join(rootfs, 'usr/bin/greet')).mode & 0o7777).toBe(0o755);
    expect(readlinkSync(join(rootfs, 'bin'))).toBe('usr/bin');
    expect(existsSync(join(rootfs, 'usr/share/doc/LICENSE'))).toBe(false);
    expect((await runCli(['destroy', 'web', '--root', root], asUser())).status).toBe(0);
    expect(existsSync(rootfs)).toBe(false);
  });

  it('the directory is below XDG_DATA_HOME, else below HOME; a relative XDG_DATA_HOME counts as none', async () => {
    const home = ownDirectory();
    const rootOf = async (env: Record<string, string>): Promise<unknown> =>
      documentOf(await runCli(['doctor', '--json'], { ...asUser(), env }))['root'];
    expect(await rootOf({ HOME: home })).toBe(join(home, '.local/share/rootwright'));
    expect(await rootOf({ HOME: home, XDG_DATA_HOME: join(home, 'data') })).toBe(join(home, 'data/rootwright'));
    expect(await rootOf({ HOME: home, XDG_DATA_HOME: 'data' })).toBe(join(home, '.local/share/rootwright'));
  });

  it('a backend that needs root is refused with the reason', async () => {
    const root = join(ownDirectory(), 'root');
    const { status, stderr } = await runCli(['provision', 'web', IMAGE(), '--backend', 'overlay', '--root', root], asUser());
    expect(status).toBe(7);
    expect(stderr).toMatch(/\[BACKEND_UNAVAILABLE\]\nhint: 'rootwright doctor'/);
    const doctor = await runCli(['doctor', '--backend', 'overlay', '--root', root], asUser());
    expect(doctor.status).toBe(7);
    expect(doctor.stdout).toMatch(/^overlay +root +no /m);
    expect((await runCli(['doctor', '--root', root], asUser())).stdout).toMatch(/^copy +nothing +yes /m);
  });

  it('a directory that is not ours fails with the path and the cause', async () => {
    const { status, stderr } = await runCli(['provision', 'web', IMAGE(), '--root', '/proc/1/rootwright'], asUser());
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
