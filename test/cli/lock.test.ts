import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { statePath } from '../../src/paths/provisioner.ts';
import { openState } from '../../src/stores/state.ts';
import { repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { documentOf, runCli, startCli } from './run-cli.ts';

const IMAGE = `oci:${join(repository, 'examples/demo/image')}`;

describe('a directory that an engine holds', () => {
  it('a command waits, says so once, and goes on when it is free', async () => {
    const root = temporaryDirectory('cli');
    const holder = await openState(statePath(root));
    const waiting = startCli(['provision', 'web', IMAGE, '--backend', 'copy', '--root', root]);
    await waiting.said(/^waiting for another command that holds .+$/m);
    holder.close();
    const { status, stderr } = await waiting.result;
    expect(status).toBe(0);
    expect(stderr.match(/waiting/g)).toHaveLength(1);
  });

  it('--wait 0 fails at once with status 4, the holder and a hint', async () => {
    const root = temporaryDirectory('cli');
    const holder = await openState(statePath(root));
    const result = await runCli(['prune', '--wait', '0', '--root', root]);
    const json = await runCli(['prune', '--wait', '0', '--root', root, '--json']);
    holder.close();
    expect(result).toMatchObject({ status: 4, stdout: '' });
    expect(result.stderr).toContain(`process ${process.pid}`);
    expect(result.stderr).toMatch(/\[ROOT_LOCKED\]\nhint: .*--wait/);
    expect(documentOf(json).error).toMatchObject({ code: 'ROOT_LOCKED', hint: expect.stringContaining('--wait') });
  });

  it('^C ends the wait with status 130', async () => {
    const root = temporaryDirectory('cli');
    const holder = await openState(statePath(root));
    const waiting = startCli(['prune', '--root', root]);
    await waiting.said(/waiting for another command/);
    waiting.child.kill('SIGINT');
    const { status, stderr } = await waiting.result;
    holder.close();
    expect(status).toBe(130);
    expect(stderr).toContain('[ABORTED]');
  });

  it('list, inspect, images and doctor need not wait', async () => {
    const root = temporaryDirectory('cli');
    await runCli(['provision', 'web', IMAGE, '--backend', 'copy', '--root', root]);
    const holder = await openState(statePath(root));
    const [listed, inspected, images, examined] = await Promise.all([
      runCli(['list', '--json', '--wait', '0', '--root', root]),
      runCli(['inspect', 'web', '--json', '--wait', '0', '--root', root]),
      runCli(['images', '--json', '--wait', '0', '--root', root]),
      runCli(['doctor', '--json', '--root', root]),
    ]);
    holder.close();
    expect(documentOf(listed)).toMatchObject({ containers: [{ id: 'web', state: 'provisioned' }] });
    expect(documentOf(inspected)).toMatchObject({ container: { id: 'web' } });
    expect(documentOf(images)).toMatchObject({ images: [{ layerIds: { length: 4 }, bytes: expect.any(Number) }] });
    expect(documentOf(examined)).toMatchObject({ index: 'held' });
    expect(documentOf(await runCli(['doctor', '--json', '--root', root]))).toMatchObject({ index: 'free' });
  });

  it('many commands at once all succeed, one after the other', async () => {
    const root = temporaryDirectory('cli');
    const ids = ['a', 'b', 'c', 'd'];
    const results = await Promise.all(ids.map((id) => runCli(['provision', id, IMAGE, '--backend', 'copy', '--root', root])));
    expect(results.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
    expect(documentOf(await runCli(['list', '--json', '--root', root]))).toMatchObject({
      containers: ids.map((id) => ({ id, state: 'provisioned' })),
    });
  });
});
