import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { type CliOptions, type CliResult, documentOf, runCli } from './run-cli.ts';

const IMAGE = `oci:${join(repository, 'examples/demo/image')}`;

describe('rootwright recover', () => {
  it('finds nothing to do in a directory that is in order', async () => {
    const root = await provisioned('web');
    expect(await recover(root, ['--plan'])).toMatchObject({ status: 0, stdout: '', stderr: 'plan only: 1 container kept, nothing to do\n' });
    expect(await recover(root, [])).toMatchObject({ status: 0, stdout: '' });
  });

  it('--plan tells what an interrupted destroy needs, does nothing, and ends with status 6; recover does it', async () => {
    const root = await provisioned('web', 'db');
    interruptDestroy(root, 'web');
    const rootfses = join(root, 'provisioner/containers/web/backends/copy/rootfses');

    const plan = await recover(root, ['--plan']);
    expect(plan.status).toBe(6);
    expect(plan.stdout).toMatch(/^ +CONTAINER +FOUND +ACTION +WHY\n/);
    expect(plan.stdout).toMatch(/^destroyed +web /m);
    expect(plan.stdout).not.toMatch(/ db /);
    expect(readdirSync(rootfses)).toHaveLength(1);

    expect((await recover(root, [])).status).toBe(0);
    expect(existsSync(rootfses)).toBe(false);
    expect(await idsOf(root)).toEqual(['db']);
    expect((await recover(root, ['--plan'])).status).toBe(0);
  });

  it.each([
    ['--known', ['--known', 'web', '--known', 'db'], {}],
    ['--known-file', ['--known-file', 'ids'], {}],
    ['standard input', ['--known-file', '-'], { input: ' web\n\n db ' }],
    ['both', ['--known', 'web', '--known-file', '-'], { input: 'db\n' }],
  ] as const)('%s: every container but those is destroyed', async (_what, args, options) => {
    const root = await provisioned('web', 'db', 'old');
    writeFileSync(join(root, 'ids'), 'web\ndb\n');
    const { status, stdout } = await recover(root, args, { cwd: root, ...options });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^destroyed +old /m);
    expect(await idsOf(root)).toEqual(['db', 'web']);
  });

  it('an empty list of known containers destroys all', async () => {
    const root = await provisioned('web', 'web.debug');
    expect((await recover(root, ['--known-file', '/dev/null'])).status).toBe(0);
    expect(await idsOf(root)).toEqual([]);
  });

  it('a damaged checkpoint is set aside and named, and the others recover', async () => {
    const root = await provisioned('web', 'db');
    writeFileSync(join(root, 'provisioner/containers/web/layers'), '{"version":1,"checksum":"sha256:beef","body":{}}\n');
    const listed = documentOf(await runCli(['list', '--json', '--root', root]));
    expect(listed).toMatchObject({
      containers: [
        { id: 'db', state: 'provisioned' },
        { id: 'web', state: 'damaged' },
      ],
    });
    const json = documentOf(await recover(root, ['--json']));
    expect(json).toMatchObject({ schema: 1, report: { plan: false, quarantined: [{ container: 'web' }], failed: [] } });
    expect(readdirSync(join(root, 'quarantine')).some((name) => name.startsWith('web.layers'))).toBe(true);
    expect(await idsOf(root)).toContain('db');
  });

  it('what has no place in the layout is reported and left', async () => {
    const root = await provisioned('web');
    mkdirSync(join(root, 'provisioner/containers/not an id'));
    const { status, stdout } = await recover(root, []);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^reported .*not an id/m);
    expect(existsSync(join(root, 'provisioner/containers/not an id'))).toBe(true);
  });
});

async function provisioned(...ids: string[]): Promise<string> {
  const root = temporaryDirectory('cli');
  for (const id of ids) expect((await runCli(['provision', id, IMAGE, '--backend', 'copy', '-q', '--root', root])).status).toBe(0);
  return root;
}

/** As a kill right after destroy has taken the mark away. */
function interruptDestroy(root: string, id: string): void {
  const directory = join(root, 'provisioner/containers', id);
  for (const name of readdirSync(directory).filter((entry) => entry.endsWith('.ready'))) rmSync(join(directory, name));
}

function recover(root: string, args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return runCli(['recover', ...args, '--root', root], options);
}

async function idsOf(root: string): Promise<string[]> {
  const { containers } = documentOf(await runCli(['list', '--json', '--root', root])) as unknown as { containers: Array<{ id: string }> };
  return containers.map(({ id }) => id);
}
