import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repository } from '../support/repository.ts';
import { itRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { type CliResult, documentOf, runCli } from './run-cli.ts';

const IMAGE = `oci:${join(repository, 'examples/demo/image')}`;

describe('the life of a container on the command line', () => {
  it('provision prints the rootfs alone on standard output; destroy leaves nothing', async () => {
    const root = temporaryDirectory('cli');
    const made = await rootwright(root, 'provision', 'web', IMAGE, '--backend', 'copy');
    expect(made.stderr).toMatch(/^(layer [0-9a-f]{12}: unpacked, [\d.]+ k?B\n){4}$/);
    const rootfs = made.stdout.trimEnd();
    expect(made.stdout).toBe(`${rootfs}\n`);
    expect(readFileSync(join(rootfs, 'etc/app.conf'), 'utf8')).toBe('port=8080\n');
    expect(readdirSync(join(rootfs, 'var/cache'))).toEqual(['fresh']);
    expect(existsSync(join(rootfs, 'usr/share/doc/LICENSE'))).toBe(false);

    expect(await rootwright(root, 'destroy', 'web')).toMatchObject({ status: 0, stdout: '', stderr: 'destroyed web\n' });
    expect(existsSync(rootfs)).toBe(false);
    expect(readdirSync(join(root, 'provisioner/containers'))).toEqual([]);
  });

  it('list and inspect show what is there, nested containers too', async () => {
    const root = temporaryDirectory('cli');
    const rootfs = (await rootwright(root, 'provision', 'web', IMAGE, '--backend', 'copy', '-q')).stdout.trimEnd();
    await rootwright(root, 'provision', 'web.debug', IMAGE, '--backend', 'copy', '-q');

    const listed = documentOf(await rootwright(root, 'list', '--json'));
    expect(listed).toMatchObject({ schema: 1, containers: [{ id: 'web' }, { id: 'web.debug' }] });
    const table = (await rootwright(root, 'list')).stdout.trimEnd().split('\n');
    expect(table).toHaveLength(3);
    expect(table[0]).toMatch(/^CONTAINER +STATE +/);
    expect(table[1]).toMatch(/^web +provisioned +/);
    expect(table[1]).toContain('copy');

    const inspected = documentOf(await rootwright(root, 'inspect', 'web', '--json'));
    expect(inspected).toMatchObject({
      schema: 1,
      container: { id: 'web', nested: ['web.debug'], rootfses: [{ backend: 'copy', rootfs, ready: true }] },
    });
    expect((await rootwright(root, 'inspect', 'web')).stdout).toContain(rootfs);
  });

  it('a second image makes a second rootfs; destroy takes both', async () => {
    const root = temporaryDirectory('cli');
    const first = (await rootwright(root, 'provision', 'web', IMAGE, '--backend', 'copy')).stdout.trimEnd();
    const second = (await rootwright(root, 'provision', 'web', IMAGE, '--backend', 'copy')).stdout.trimEnd();
    expect(second).not.toBe(first);
    expect(documentOf(await rootwright(root, 'inspect', 'web', '--json'))).toMatchObject({ container: { rootfses: [{}, {}] } });
    await rootwright(root, 'destroy', 'web');
    expect([first, second].filter((path) => existsSync(path))).toEqual([]);
  });

  it('pull, images and prune: a container keeps its layers, and nothing stays without one', async () => {
    const root = temporaryDirectory('cli');
    expect((await rootwright(root, 'pull', IMAGE, '--form', 'plain')).stdout).toMatch(/^oci:\S+ {2}[0-9a-f]{12} {2}4 layers\n$/);
    expect(documentOf(await rootwright(root, 'images', '--json'))).toMatchObject({
      images: [{ name: expect.stringContaining('examples/demo/image') }],
    });
    expect((await rootwright(root, 'images')).stdout).toMatch(/^IMAGE +DIGEST +LAYERS +SIZE +PULLED\noci:/);

    await rootwright(root, 'provision', 'web', IMAGE, '--backend', 'copy');
    const layers = (): string[] => readdirSync(join(root, 'store/docker/layers'));
    expect(documentOf(await rootwright(root, 'prune', '--json', '--exclude', IMAGE))).toMatchObject({ images: [], layers: [] });
    expect(documentOf(await rootwright(root, 'prune', '--json'))).toMatchObject({ dryRun: false, images: [expect.any(String)], layers: [] });
    expect(layers()).toHaveLength(4);

    await rootwright(root, 'destroy', 'web');
    expect(documentOf(await rootwright(root, 'prune', '--dry-run', '--json'))).toMatchObject({ dryRun: true, layers: { length: 4 } });
    expect(layers()).toHaveLength(4);
    const pruned = await rootwright(root, 'prune');
    expect(pruned.stdout.match(/^layer {2}sha256:/gm)).toHaveLength(4);
    expect(pruned.stderr).toMatch(/^removed 0 images and 4 layers, /);
    expect(layers()).toEqual([]);
  });

  itRoot('changing between overlay and copy finds the layers in the form that each takes, and prune knows both', async () => {
    const root = temporaryDirectory('cli');
    const provision = async (id: string, backend: string): Promise<string> =>
      (await rootwright(root, 'provision', id, IMAGE, '--backend', backend)).stderr;
    expect(await provision('a', 'overlay')).toMatch(/^(layer \S+ unpacked, .+\n){4}$/);
    expect(await provision('b', 'copy')).toMatch(/^(layer \S+ unpacked, .+\n){4}$/);
    expect(await provision('c', 'overlay')).not.toContain('unpacked');
    expect(await provision('d', 'copy')).not.toContain('unpacked');
    const layers = join(root, 'store/docker/layers');
    for (const layer of readdirSync(layers)) expect(readdirSync(join(layers, layer))).toEqual(expect.arrayContaining(['rootfs', 'rootfs.overlay']));
    for (const id of ['a', 'b', 'c', 'd']) expect((await rootwright(root, 'destroy', id)).status).toBe(0);
    await rootwright(root, 'prune');
    expect(readdirSync(layers)).toEqual([]);
  });

  it('--json prints one document for every command', async () => {
    const root = temporaryDirectory('cli');
    const runs = [
      ['provision', 'web', IMAGE, '--backend', 'copy'],
      ['list'],
      ['inspect', 'web'],
      ['pull', IMAGE, '--form', 'plain'],
      ['images'],
      ['prune', '--dry-run'],
      ['recover', '--plan'],
      ['doctor'],
      ['completion', 'bash'],
      ['destroy', 'web'],
    ];
    for (const args of runs) {
      const result = await rootwright(root, ...args, '--json');
      expect(result.status, `${args.join(' ')}: ${result.stderr}`).toBe(0);
      expect(documentOf(result)).toMatchObject({ schema: 1 });
    }
  });
});

describe('failures', () => {
  const cases: ReadonlyArray<readonly [what: string, args: readonly string[], status: number, code: string]> = [
    ['destroy of a container that is not there', ['destroy', 'nobody'], 3, 'CONTAINER_NOT_FOUND'],
    ['inspect of a container that is not there', ['inspect', 'nobody'], 3, 'CONTAINER_NOT_FOUND'],
    ['an image that is not there', ['provision', 'web', 'oci:/nowhere'], 3, 'IMAGE_NOT_FOUND'],
    ['a tag that is not there', ['pull', `${IMAGE}:v9`], 3, 'IMAGE_NOT_FOUND'],
    ['a container id with a slash', ['provision', '../web', IMAGE], 2, 'INVALID_CONTAINER_ID'],
    ['a container id that is empty', ['destroy', ''], 2, 'INVALID_CONTAINER_ID'],
    ['a container id with a newline', ['inspect', 'a\nb'], 2, 'INVALID_CONTAINER_ID'],
    ['an image without transport', ['provision', 'web', 'alpine'], 2, 'INVALID_IMAGE_NAME'],
    ['a transport to come', ['pull', 'docker://alpine'], 7, 'IMAGE_UNSUPPORTED'],
    [
      'bind with an image of several layers',
      ['provision', 'web', IMAGE, '--backend', 'bind'],
      7,
      process.getuid?.() === 0 ? 'LAYERS_UNSUPPORTED' : 'BACKEND_UNAVAILABLE',
    ],
    ['a file of known containers that is not there', ['recover', '--known-file', '/nowhere'], 1, 'IO_ERROR'],
    ['a known container with an odd id', ['recover', '--known', 'a/b'], 2, 'INVALID_CONTAINER_ID'],
  ];

  it.each(cases)('%s', async (_what, args, status, code) => {
    const root = temporaryDirectory('cli');
    const result = await rootwright(root, ...args);
    expect({ status: result.status, stdout: result.stdout }, result.stderr).toEqual({ status, stdout: '' });
    expect(result.stderr).toMatch(new RegExp(`^error: .+ \\[${code}\\]$`, 'm'));
    expect(result.stderr).not.toMatch(/\n {4}at /);

    const json = await rootwright(root, ...args, '--json');
    expect(json.status).toBe(status);
    expect(documentOf(json)).toMatchObject({ schema: 1, error: { code, message: expect.any(String) } });
  });

  it('a root that is a file', async () => {
    const result = await runCli(['provision', 'web', IMAGE, '--root', join(repository, 'package.json')]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('[IO_ERROR]');
  });

  it('a stack only with --log-level debug', async () => {
    const { stderr } = await rootwright(temporaryDirectory('cli'), 'destroy', 'nobody', '--log-level', 'debug');
    expect(stderr).toMatch(/\n {4}at /);
  });

  it('colours only where they are wanted', async () => {
    const root = temporaryDirectory('cli');
    expect((await rootwright(root, 'destroy', 'nobody')).stderr).not.toContain('\u001b[');
    expect((await rootwright(root, 'destroy', 'nobody', '--color', 'always')).stderr).toContain('\u001b[');
    expect((await runCli(['destroy', 'nobody', '--root', root], { env: { FORCE_COLOR: '1' } })).stderr).toContain('\u001b[');
    expect((await runCli(['destroy', 'nobody', '--root', root], { env: { NO_COLOR: '1' } })).stderr).not.toContain('\u001b[');
  });
});

describe('the root directory', () => {
  it('comes from the flag, then ROOTWRIGHT_ROOT, then the XDG data directory', async () => {
    const [flag, environment] = [temporaryDirectory('flag'), temporaryDirectory('environment')];
    const env = { ROOTWRIGHT_ROOT: environment };
    const doctor = async (args: readonly string[], variables: Record<string, string>): Promise<unknown> =>
      documentOf(await runCli(['doctor', '--json', ...args], { env: variables }))['root'];
    expect(await doctor(['--root', flag], env)).toBe(flag);
    expect(await doctor([], env)).toBe(environment);
    expect(await doctor([], { XDG_DATA_HOME: flag, HOME: '/home/x' })).toBe(
      process.getuid?.() === 0 ? '/var/lib/rootwright' : join(flag, 'rootwright'),
    );
  });

  it('a relative one starts from the working directory', async () => {
    const cwd = temporaryDirectory('cli');
    expect(documentOf(await runCli(['doctor', '--json', '--root', 'here'], { cwd }))['root']).toBe(join(cwd, 'here'));
  });

  it('reading commands do not make it', async () => {
    const root = join(temporaryDirectory('cli'), 'absent');
    expect(await rootwright(root, 'list')).toMatchObject({ status: 0, stderr: '' });
    expect(await rootwright(root, 'doctor')).toMatchObject({ status: 0 });
    expect(existsSync(root)).toBe(false);
  });
});

function rootwright(root: string, ...args: string[]): Promise<CliResult> {
  return runCli([...args, '--root', root]);
}
