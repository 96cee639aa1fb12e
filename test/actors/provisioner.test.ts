import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readContainers } from '../../src/actors/read-containers.ts';
import { RootwrightError, type ErrorCode } from '../../src/errors.ts';
import { checkpointPath } from '../../src/paths/provisioner.ts';
import { Gate, openStage, Stage } from '../support/provisioner-stage.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const failsWith = async (promise: Promise<unknown>, code: ErrorCode): Promise<RootwrightError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RootwrightError);
  expect((error as RootwrightError).code, (error as Error).message).toBe(code);
  return error as RootwrightError;
};

/** Lets everything that can run without the outside world run. */
const quiet = (): Promise<void> => sleep(20);

describe('provision and destroy', () => {
  it('[AP2] makes one rootfs, and destroy leaves no container directory', async () => {
    const stage = await openStage(temporaryDirectory());
    const made = await stage.provision('c1', 'oci:app');
    expect(made).toMatchObject({ container: 'c1', backend: 'overlay', image: { name: 'oci:app:latest', config: { os: 'linux' } } });
    expect(made.rootfs).toBe(`${stage.directoryOf('c1')}/backends/overlay/rootfses/${made.rootfsId}`);
    expect(made.layers.map(({ id }) => id)).toEqual(['sha256:base', 'sha256:app']);
    expect(stage.kernel.readdir(made.rootfs).toSorted()).toEqual(['from-app', 'from-base']);
    expect(await stage.mounts()).toEqual([made.rootfs]);
    expect(await stage.destroy('c1')).toBe(true);
    expect(stage.exists('c1')).toBe(false);
    expect(await stage.mounts()).toEqual([]);
    expect(await stage.ids()).toEqual([]);
    expect(stage.provisioner.idle).toBe(true);
  });

  it('[AP3] does the same for a nested container, whose parent directory stays', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('a.b', 'oci:app');
    expect(await stage.ids()).toEqual(['a', 'a.b']);
    expect(await stage.destroy('a.b')).toBe(true);
    expect(stage.idsOnDisk()).toEqual(['a']);
    expect(await stage.destroy('a')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('[MC4] answers false for a container that is not known', async () => {
    const stage = await openStage(temporaryDirectory());
    expect(await stage.destroy('nobody')).toBe(false);
    expect(await stage.destroy('nobody.at.all')).toBe(false);
  });

  it('makes the checkpoint durable before the backend begins', async () => {
    const stage = await openStage(temporaryDirectory());
    let before = '';
    stage.backend.beforeProvision = () => {
      before = readFileSync(checkpointPath(stage.directoryOf('c1')), 'utf8');
    };
    const { rootfsId } = await stage.provision('c1', 'oci:app');
    expect(before).toContain(rootfsId);
    expect(before).toContain('sha256:base');
  });

  it('[R13] a rootfs is in the checkpoint with its layers, and marked as ready', async () => {
    const stage = await openStage(temporaryDirectory());
    const { rootfsId, rootfs } = await stage.provision('c1', 'oci:app');
    expect(readContainers(stage.root)).toMatchObject([
      { id: 'c1', rootfses: [{ id: rootfsId, rootfs, ready: true, image: 'oci:app:latest', layers: [{ id: 'sha256:base' }, { id: 'sha256:app' }] }] },
    ]);
  });

  it('keeps several images of one container apart, and destroys them together', async () => {
    const stage = await openStage(temporaryDirectory());
    const [app, web, copy] = await Promise.all([
      stage.provision('c1', 'oci:app'),
      stage.provision('c1', 'oci:web'),
      stage.provision('c1', 'oci:app', { backend: 'copy' }),
    ]);
    const onDisk = readContainers(stage.root)[0]?.rootfses ?? [];
    expect(onDisk.map(({ id }) => id).toSorted()).toEqual([app, web, copy].map(({ rootfsId }) => rootfsId).toSorted());
    expect(onDisk.every(({ ready }) => ready)).toBe(true);
    expect(await stage.destroy('c1')).toBe(true);
    expect(stage.exists('c1')).toBe(false);
  });

  it.each([
    ['', 'INVALID_CONTAINER_ID'],
    ['a..b', 'INVALID_CONTAINER_ID'],
    ['../x', 'INVALID_CONTAINER_ID'],
  ] as const)('refuses the container id %j', async (id, code) => {
    const stage = await openStage(temporaryDirectory());
    await failsWith(stage.provision(id, 'oci:app'), code);
    await failsWith(stage.destroy(id), code);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('refuses an unknown backend, image type and image, and leaves nothing', async () => {
    const stage = await openStage(temporaryDirectory());
    await failsWith(stage.provision('c1', 'oci:app', { backend: 'zfs' }), 'BACKEND_UNAVAILABLE');
    await failsWith(stage.provision('c1', 'docker://app'), 'INVALID_IMAGE_NAME');
    await failsWith(stage.provision('c1', 'oci:'), 'INVALID_IMAGE_NAME');
    await failsWith(stage.provision('a.b', 'oci:nothing'), 'IMAGE_NOT_FOUND');
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.ids()).toEqual([]);
    expect(await stage.destroy('a.b')).toBe(false);
  });

  it('until recover has run nothing is provisioned, destroyed or pruned', async () => {
    const stage = new Stage(temporaryDirectory());
    stage.store.define('oci:app', ['base']);
    await failsWith(stage.provision('c1', 'oci:app'), 'NOT_RECOVERED');
    await failsWith(stage.destroy('c1'), 'NOT_RECOVERED');
    await failsWith(stage.prune(), 'NOT_RECOVERED');
    await stage.recover([], true);
    await failsWith(stage.provision('c1', 'oci:app'), 'NOT_RECOVERED');
  });
});

describe('a provision that fails', () => {
  it('[MC1] leaves nothing, and the next one works', async () => {
    const stage = await openStage(temporaryDirectory());
    stage.kernel.failNext('mount', 'EINVAL');
    await failsWith(stage.provision('a.b.c', 'oci:app'), 'MOUNT_FAILED');
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.ids()).toEqual([]);
    expect(await stage.mounts()).toEqual([]);
    await stage.provision('a.b.c', 'oci:app');
    expect(stage.idsOnDisk()).toEqual(['a', 'a.b', 'a.b.c']);
  });

  it('keeps the first image of the container usable and its layers protected', async () => {
    const stage = await openStage(temporaryDirectory());
    const first = await stage.provision('c1', 'oci:app');
    stage.kernel.failNext('mount', 'EINVAL');
    await failsWith(stage.provision('c1', 'oci:web'), 'MOUNT_FAILED');
    expect(stage.kernel.readdir(first.rootfs).toSorted()).toEqual(['from-app', 'from-base']);
    expect(readContainers(stage.root)[0]?.rootfses.map(({ id }) => id)).toEqual([first.rootfsId]);
    await stage.prune();
    expect(stage.store.hasLayer('base') && stage.store.hasLayer('app')).toBe(true);
    expect(stage.store.hasLayer('web')).toBe(false);
  });

  it('after a nested one that failed leaves no directory that was made on the way to that one', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = (name) => (name === 'oci:nothing:latest' ? gate.pass() : undefined);
    const parent = failsWith(stage.provision('a', 'oci:nothing'), 'IMAGE_NOT_FOUND');
    await gate.reached;
    stage.kernel.failNext('mount', 'EINVAL');
    await failsWith(stage.provision('a.b.c', 'oci:app'), 'MOUNT_FAILED');
    gate.open();
    await parent;
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.ids()).toEqual([]);
  });

  it('whose clean-up fails is counted, and what it left can be destroyed', async () => {
    const stage = await openStage(temporaryDirectory());
    stage.backend.afterProvision = () => {
      throw new RootwrightError('MOUNT_FAILED', 'after all');
    };
    stage.backend.beforeDestroy = () => {
      throw new RootwrightError('UNMOUNT_FAILED', 'busy');
    };
    await failsWith(stage.provision('c1', 'oci:app'), 'MOUNT_FAILED');
    expect(stage.metrics.snapshot()).toMatchObject({ remove_container_errors_total: 1 });
    expect(await stage.mounts()).toHaveLength(1);
    expect(await stage.ids()).toEqual(['c1']);
    stage.backend.beforeDestroy = () => undefined;
    expect(await stage.destroy('c1')).toBe(true);
    expect(await stage.mounts()).toEqual([]);
    expect(stage.exists('c1')).toBe(false);
  });

  it('as its checkpoint cannot be written mounts nothing', async () => {
    const stage = await openStage(temporaryDirectory());
    const { writeFileSync } = await import('node:fs');
    writeFileSync(stage.directoryOf('c1'), 'in the way');
    await failsWith(stage.provision('c1', 'oci:app'), 'CHECKPOINT_FAILED');
    expect(stage.backend.log.filter((line) => line.startsWith('provision'))).toEqual([]);
    expect(existsSync(stage.directoryOf('c1'))).toBe(true);
  });
});

describe('destroy during provision', () => {
  it('[R1] [MC2] waits for the backend, which it has aborted, before it takes anything apart', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    let aborted = false;
    stage.backend.afterProvision = (_, signal) => {
      signal.addEventListener('abort', () => (aborted = true));
      return gate.pass(); // a backend that does not stop at once
    };
    const provision = failsWith(stage.provision('c1', 'oci:app'), 'PROVISION_DESTROYED');
    await gate.reached;
    let destroyed = false;
    const destroy = stage.destroy('c1').then((value) => {
      destroyed = true;
      return value;
    });
    await quiet();
    expect({ aborted, destroyed, log: stage.backend.log }).toEqual({ aborted: true, destroyed: false, log: ['provision begins'] });
    gate.open();
    await provision;
    expect(await destroy).toBe(true);
    expect(stage.backend.log.slice(0, 3)).toEqual(['provision begins', 'provision ends', 'destroy begins']);
    expect(await stage.mounts()).toEqual([]);
    expect(stage.exists('c1')).toBe(false);
    expect(await stage.ids()).toEqual([]);
    expect(stage.provisioner.idle).toBe(true);
  });

  it('[R2] while the image is pulled: nothing is made afterwards, and a new provision works', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = () => gate.pass();
    const provision = failsWith(stage.provision('c1', 'oci:app'), 'PROVISION_DESTROYED');
    await gate.reached;
    const destroy = stage.destroy('c1');
    await quiet();
    gate.open();
    await provision;
    expect(await destroy).toBe(true);
    expect(stage.backend.log).toEqual([]);
    expect(stage.idsOnDisk()).toEqual([]);
    await stage.provision('c1', 'oci:app');
    expect(await stage.ids()).toEqual(['c1']);
  });

  it('[R2] refuses a provision that comes after the destroy, also one nested in the container', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    const gate = new Gate();
    stage.backend.beforeDestroy = () => gate.pass();
    const destroy = stage.destroy('c1');
    await gate.reached;
    await failsWith(stage.provision('c1', 'oci:web'), 'CONTAINER_DESTROYING');
    await failsWith(stage.provision('c1.nested.deep', 'oci:web'), 'CONTAINER_DESTROYING');
    gate.open();
    expect(await destroy).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
    await stage.provision('c1', 'oci:web');
  });

  it('[R5] waits for every provision of the container, not for the last only', async () => {
    const stage = await openStage(temporaryDirectory());
    const gates = [new Gate(), new Gate()];
    let count = 0;
    stage.backend.afterProvision = () => gates[count++]?.pass();
    const first = failsWith(stage.provision('c1', 'oci:app'), 'PROVISION_DESTROYED');
    await gates[0]?.reached;
    const second = failsWith(stage.provision('c1', 'oci:web'), 'PROVISION_DESTROYED');
    await gates[1]?.reached;
    let destroyed = false;
    const destroy = stage.destroy('c1').then(() => (destroyed = true));
    gates[1]?.open();
    await second;
    await quiet();
    expect(destroyed).toBe(false);
    gates[0]?.open();
    await Promise.all([first, destroy]);
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.mounts()).toEqual([]);
  });

  it('asked for in the same turn of the event loop leaves nothing', async () => {
    const stage = await openStage(temporaryDirectory());
    const provision = stage.provision('c1', 'oci:app').then(
      () => 'ok',
      (error: RootwrightError) => error.code,
    );
    const destroy = stage.destroy('c1');
    expect(await provision).toBe('PROVISION_DESTROYED');
    expect(await destroy).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('[R15] a backend that fails in its own way still lets destroy end', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.backend.beforeProvision = async () => {
      await gate.pass();
      throw new Error('the backend is gone');
    };
    const provision = stage.provision('c1', 'oci:app').catch((error: unknown) => error);
    await gate.reached;
    const destroy = stage.destroy('c1');
    gate.open();
    expect(await provision).toBeInstanceOf(Error);
    expect(await destroy).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });
});

describe('destroy', () => {
  it('twice at once shares one result', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    expect(await Promise.all([stage.destroy('c1'), stage.destroy('c1'), stage.destroy('c1')])).toEqual([true, true, true]);
    expect(stage.backend.log.filter((line) => line === 'destroy begins')).toHaveLength(1);
    expect(await stage.destroy('c1')).toBe(false);
  });

  it('twice at once shares one failure, and can be tried again', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    stage.kernel.failNext('unmount', 'EPERM');
    const failures = await Promise.all([stage.destroy('c1'), stage.destroy('c1')].map((destroy) => failsWith(destroy, 'DESTROY_FAILED')));
    expect(failures[0]).toBe(failures[1]);
    expect(failures[0]?.details['failures']).toMatchObject([{ container: 'c1', backend: 'overlay', code: 'UNMOUNT_FAILED' }]);
    expect(await stage.ids()).toEqual(['c1']);
    await failsWith(stage.provision('c1', 'oci:web'), 'CONTAINER_DESTROYING');
    expect(stage.metrics.snapshot()).toMatchObject({ remove_container_errors_total: 1, 'destroys_total{backend="overlay",outcome="failed"}': 1 });
    expect(await stage.destroy('c1')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
    await stage.provision('c1', 'oci:web');
  });

  it('takes nested containers first, and reports those that could not be taken; a retry finishes', async () => {
    const stage = await openStage(temporaryDirectory());
    for (const id of ['a', 'a.b', 'a.b.c', 'a.d']) await stage.provision(id, 'oci:app');
    const order: string[] = [];
    stage.backend.beforeDestroy = ({ rootfs }) => {
      order.push(rootfs.slice(stage.root.length).replaceAll('/provisioner', '').replaceAll('/containers/', '.').split('/')[0] ?? '');
      if (rootfs.startsWith(stage.directoryOf('a.b.c'))) throw new RootwrightError('UNMOUNT_FAILED', 'busy');
    };
    const error = await failsWith(stage.destroy('a'), 'DESTROY_FAILED');
    expect(error.details['failures']).toMatchObject([{ container: 'a.b.c' }]);
    expect(order.toSorted()).toEqual(['.a.b.c', '.a.d']);
    expect(stage.idsOnDisk()).toEqual(['a', 'a.b', 'a.b.c']);
    stage.backend.beforeDestroy = () => undefined;
    expect(await stage.destroy('a')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.mounts()).toEqual([]);
  });

  it('[R3] of a parent ends though a prune has queued in between', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('a', 'oci:app');
    await stage.provision('a.b', 'oci:app');
    const gate = new Gate();
    stage.backend.beforeDestroy = () => gate.pass();
    const destroy = stage.destroy('a');
    await gate.reached;
    const prune = stage.prune();
    const child = stage.destroy('a.b');
    const again = stage.destroy('a');
    await quiet();
    gate.open();
    expect(await Promise.all([destroy, child, again])).toEqual([true, true, true]);
    expect((await prune).layers).toEqual(['sha256:app', 'sha256:base']);
  });

  it('[R3] of a parent does not wait for a nested destroy that waits for the lock', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    await stage.provision('a.b', 'oci:app');
    stage.backend.beforeProvision = () => gate.pass();
    const other = stage.provision('a.b', 'oci:web').catch((error: unknown) => error);
    await gate.reached;
    const destroys = [stage.destroy('a.b'), stage.destroy('a')];
    const prune = stage.prune();
    const late = stage.destroy('a.b');
    await quiet();
    gate.open();
    expect(await Promise.all([...destroys, late])).toEqual([true, true, true]);
    expect(await other).toMatchObject({ code: 'PROVISION_DESTROYED' });
    await prune;
    expect(stage.provisioner.idle).toBe(true);
  });

  it('aborted while it waits for a prune takes nothing apart, and the container stays', async () => {
    const stage = await openStage(temporaryDirectory());
    const { rootfs } = await stage.provision('a.b', 'oci:app');
    const gate = new Gate();
    stage.store.beforePrune = () => gate.pass();
    const prune = stage.prune();
    await gate.reached;
    const abort = new AbortController();
    const destroy = failsWith(stage.destroy('a', abort.signal), 'ABORTED');
    await quiet();
    abort.abort(new Error('changed my mind'));
    await destroy;
    gate.open();
    await prune;
    expect(await stage.mounts()).toEqual([rootfs]);
    await stage.provision('a.b', 'oci:web');
    expect(await stage.destroy('a')).toBe(true);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('removes what others left in the container directory, but never through a mount', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    const { mkdirSync, writeFileSync } = await import('node:fs');
    const foreign = `${stage.directoryOf('c1')}/foreign`;
    mkdirSync(foreign);
    const outside = temporaryDirectory();
    writeFileSync(`${outside}/precious`, 'x');
    await stage.kernel.bind(outside, foreign);
    const error = await failsWith(stage.destroy('c1'), 'DESTROY_FAILED');
    expect(error.message).toContain('foreign');
    expect(existsSync(`${outside}/precious`)).toBe(true);
    await stage.kernel.unmount(foreign);
    expect(await stage.destroy('c1')).toBe(true);
    expect(stage.exists('c1')).toBe(false);
  });
});
