import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RootwrightError } from '../../src/errors.ts';
import { Gate, openStage } from '../support/provisioner-stage.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const quiet = (): Promise<void> => sleep(20);

describe('prune', () => {
  it('of an empty store succeeds', async () => {
    const stage = await openStage(temporaryDirectory());
    expect(await stage.prune()).toEqual({ images: [], layers: [], bytes: 0 });
  });

  it('[R5] [R6] keeps the layers and configs of every image of a container', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    await stage.provision('c1', 'oci:web');
    expect(await stage.prune()).toMatchObject({ layers: [] });
    expect(['base', 'app', 'web'].map((layer) => stage.store.hasLayer(layer))).toEqual([true, true, true]);
    expect([stage.store.hasConfig('oci:app'), stage.store.hasConfig('oci:web')]).toEqual([true, true]);
    await stage.destroy('c1');
    expect((await stage.prune()).layers.toSorted()).toEqual(['sha256:app', 'sha256:base', 'sha256:web']);
  });

  it('[R13] keeps the layers of containers that recovery found', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('a.b', 'oci:app');
    stage.begin();
    await stage.recover();
    expect((await stage.prune()).layers).toEqual([]);
  });

  it('keeps excluded images, however their name is written', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    await stage.provision('c2', 'oci:web');
    await stage.destroy('c1');
    await stage.destroy('c2');
    expect(await stage.prune(['oci:app'])).toMatchObject({ images: ['oci:web:latest'], layers: ['sha256:web'] });
    expect(stage.store.hasConfig('oci:app')).toBe(true);
    expect(stage.store.hasConfig('oci:web')).toBe(false);
  });

  it('refuses to exclude a name that no store takes', async () => {
    const stage = await openStage(temporaryDirectory());
    await expect(stage.prune(['docker://app'])).rejects.toMatchObject({ code: 'INVALID_IMAGE_NAME' });
  });

  it('[R4] waits for a pull under way, also one whose caller has aborted, until it has really stopped', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = () => gate.pass();
    const abort = new AbortController();
    const provision = stage.provision('c1', 'oci:app', {}, abort.signal).catch((error: unknown) => error);
    await gate.reached;
    abort.abort();
    let pruned = false;
    const prune = stage.prune().then(() => (pruned = true));
    await quiet();
    expect({ pruned, running: stage.store.running }).toEqual({ pruned: false, running: 1 });
    gate.open();
    expect(await provision).toMatchObject({ code: 'ABORTED' });
    await prune;
    expect(stage.store.running).toBe(0);
  });

  it('does not starve behind provisions that keep coming', async () => {
    const stage = await openStage(temporaryDirectory());
    const stop = { now: false };
    const stream = async (name: string): Promise<void> => {
      for (let index = 0; !stop.now; index += 1) {
        await stage.provision(`${name}-${index}`, 'oci:app');
        await stage.destroy(`${name}-${index}`);
      }
    };
    const streams = ['x', 'y', 'z'].map(stream);
    await stage.prune();
    await stage.prune();
    stop.now = true;
    await Promise.all(streams);
    expect(stage.provisioner.idle).toBe(true);
  });

  it('can be aborted while it waits, and those behind it go on', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = (name) => (name === 'oci:app:latest' ? gate.pass() : undefined);
    const first = stage.provision('c1', 'oci:app');
    await gate.reached;
    const abort = new AbortController();
    const prune = stage.prune([], abort.signal).catch((error: unknown) => error);
    const behind = stage.provision('c2', 'oci:web');
    await quiet();
    abort.abort();
    expect(await prune).toMatchObject({ code: 'ABORTED' });
    await behind;
    gate.open();
    await first;
  });

  it('that fails is told, and can be tried again', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('c1', 'oci:app');
    await stage.destroy('c1');
    stage.store.beforePrune = () => {
      throw new Error('disk on fire');
    };
    await expect(stage.prune()).rejects.toMatchObject({ code: 'PRUNE_FAILED' });
    stage.store.beforePrune = () => undefined;
    expect((await stage.prune()).layers).toHaveLength(2);
  });
});

describe('pulls', () => {
  it('[DS5] of one image by several containers are one', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = () => gate.pass();
    const abort = new AbortController();
    const made = [stage.provision('a', 'oci:app'), stage.provision('b', 'oci:app:latest')];
    const left = stage.provision('c', 'oci:app', {}, abort.signal).catch((error: unknown) => error);
    await gate.reached;
    abort.abort();
    expect(await left).toMatchObject({ code: 'ABORTED' });
    gate.open();
    const [a, b] = await Promise.all(made);
    expect(a?.layers).toEqual(b?.layers);
    expect(stage.store.gets).toBe(1);
  });

  it('[DS6] are aborted when nobody waits any more', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    let aborted = 0;
    stage.store.beforeGet = (_, signal) => {
      signal.addEventListener('abort', () => {
        aborted += 1;
        gate.open();
      });
      return gate.pass();
    };
    const aborts = [new AbortController(), new AbortController()];
    const made = aborts.map(({ signal }, index) => stage.provision(`c${index}`, 'oci:app', {}, signal).catch((error: unknown) => error));
    await quiet(); // both have joined
    aborts[0]?.abort();
    await quiet();
    expect(aborted).toBe(0);
    aborts[1]?.abort();
    expect(await Promise.all(made)).toMatchObject([{ code: 'ABORTED' }, { code: 'ABORTED' }]);
    expect(aborted).toBe(1);
    expect(stage.idsOnDisk()).toEqual([]);
  });

  it('[R7] the late end of an aborted pull does not touch the one that came after it', async () => {
    const stage = await openStage(temporaryDirectory());
    const gates = [new Gate(), new Gate()];
    let calls = 0;
    stage.store.beforeGet = () => gates[calls++]?.pass();
    const abort = new AbortController();
    const first = stage.provision('c1', 'oci:app', {}, abort.signal).catch((error: unknown) => error);
    await gates[0]?.reached;
    abort.abort();
    const second = stage.provision('c2', 'oci:app');
    await quiet();
    gates[0]?.open();
    expect(await first).toMatchObject({ code: 'ABORTED' });
    await gates[1]?.reached;
    const third = stage.provision('c3', 'oci:app');
    await quiet();
    expect(stage.store.gets).toBe(2);
    gates[1]?.open();
    await Promise.all([second, third]);
    expect(stage.store.gets).toBe(2);
  });

  it('a failure reaches everyone who waits, and the next pull begins anew', async () => {
    const stage = await openStage(temporaryDirectory());
    const gate = new Gate();
    stage.store.beforeGet = async () => {
      await gate.pass();
      throw new RootwrightError('DIGEST_MISMATCH', 'damaged');
    };
    const failures = ['a', 'b', 'c'].map((id) => stage.provision(id, 'oci:app').catch((error: unknown) => error));
    await gate.reached;
    gate.open();
    expect(await Promise.all(failures)).toMatchObject([{ code: 'DIGEST_MISMATCH' }, { code: 'DIGEST_MISMATCH' }, { code: 'DIGEST_MISMATCH' }]);
    stage.store.beforeGet = () => undefined;
    await stage.provision('a', 'oci:app');
    expect(stage.store.gets).toBe(2);
  });

  it('that must ask the source are not served by one that need not', async () => {
    const stage = await openStage(temporaryDirectory());
    await Promise.all([
      stage.provision('a', 'oci:app'),
      stage.provision('b', 'oci:app', { cached: false }),
      stage.provision('c', 'oci:app', { backend: 'copy' }),
    ]);
    expect(stage.store.gets).toBe(3);
  });
});

describe('an abort', () => {
  const steps = ['before the lock', 'in the pull', 'between two layers', 'before the mount', 'after the mount'] as const;

  it.each(steps)('%s fails with ABORTED once all has stopped, and leaves nothing', async (step) => {
    const stage = await openStage(temporaryDirectory());
    const abort = new AbortController();
    const reason = new Error('enough');
    const now = (wanted: string): void => {
      if (wanted === step) abort.abort(reason);
    };
    let layers = 0;
    stage.store.beforeGet = () => now(layers++ === 0 ? 'in the pull' : 'between two layers');
    stage.backend.beforeProvision = () => now('before the mount');
    stage.backend.afterProvision = () => now('after the mount');
    const prune = step === 'before the lock' ? stage.prune() : undefined;
    const provision = stage.provision('a.b', 'oci:app', {}, abort.signal).catch((error: unknown) => error);
    now('before the lock');
    expect(await provision).toMatchObject({ code: 'ABORTED', cause: reason });
    await prune;
    expect(stage.idsOnDisk()).toEqual([]);
    expect(await stage.mounts()).toEqual([]);
    expect(await stage.ids()).toEqual([]);
    expect(stage.provisioner.idle).toBe(true);
    stage.store.beforeGet = () => undefined;
    await stage.provision('a.b', 'oci:app');
  });

  it('that came before does nothing at all', async () => {
    const stage = await openStage(temporaryDirectory());
    const signal = AbortSignal.abort();
    for (const work of [stage.provision('a', 'oci:app', {}, signal), stage.destroy('a', signal), stage.prune([], signal)])
      await expect(work).rejects.toMatchObject({ code: 'ABORTED' });
    expect(stage.store.gets).toBe(0);
  });
});

describe('shutting down', () => {
  it('aborts provisions and pulls, lets destroys finish, and refuses what comes later', async () => {
    const stage = await openStage(temporaryDirectory());
    await stage.provision('old', 'oci:app');
    const gates = { get: new Gate(), destroy: new Gate() };
    stage.store.beforeGet = async (_, signal) => {
      signal.addEventListener('abort', () => gates.get.open());
      await gates.get.pass();
    };
    stage.backend.beforeDestroy = () => gates.destroy.pass();
    const provision = stage.provision('c1', 'oci:web').catch((error: unknown) => error);
    const destroy = stage.destroy('old');
    await Promise.all([gates.get.reached, gates.destroy.reached]);
    const down = stage.provisioner.shutDown();
    expect(await provision).toMatchObject({ code: 'ENGINE_CLOSED' });
    gates.destroy.open();
    await down;
    expect(await destroy).toBe(true);
    await expect(stage.provision('c2', 'oci:app')).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    expect(stage.idsOnDisk()).toEqual([]);
  });
});
