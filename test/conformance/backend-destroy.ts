import { closeSync, lstatSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemError } from '../../src/linux/system-error.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { file } from '../backends/layers.ts';
import { dyingKernel, inFrontOf, Stage, type BackendSubject } from './backend-stage.ts';

/** Destroy leaves nothing, whatever it finds, and never deletes what is not its own. */
export function destroyTests(subject: BackendSubject): void {
  describe('destroy', () => {
    answers(subject);
    leftovers(subject);
    foreignMounts(subject);
    if (subject.mounts) kills(subject);
  });
}

async function provisioned(subject: BackendSubject): Promise<Stage> {
  const stage = await Stage.open(subject);
  await stage.provision([stage.layer({ 'etc/file': file('content'), 'proc/x': file('') })]);
  return stage;
}

function answers(subject: BackendSubject): void {
  it('of nothing is false', async () => {
    const stage = await Stage.open(subject);
    expect(await stage.destroy()).toBe(false);
    await stage.expectNothingLeft();
  });

  it('is true once, and false when done again', async () => {
    const stage = await provisioned(subject);
    expect(await stage.destroy()).toBe(true);
    expect(await stage.destroy()).toBe(false);
    await stage.expectNothingLeft();
  });

  it('leaves another rootfs of the same container as it is', async () => {
    const stage = await provisioned(subject);
    const other = { rootfs: join(dirname(stage.rootfs), 'r2'), backendDir: stage.backendDir };
    await stage.backend.provision({ ...other, layers: [stage.layer({ a: file('') })] });
    expect(await stage.destroy()).toBe(true);
    if (stage.kernel instanceof SimulatedKernel) expect(stage.kernel.readdir(other.rootfs)).toEqual(['a']);
    else expect(lstatSync(join(other.rootfs, 'a')).isFile()).toBe(true);
    expect(await stage.backend.destroy(other)).toBe(true);
    await stage.expectNothingLeft();
  });

  if (subject.writable)
    it('takes what the container wrote', async () => {
      const stage = await provisioned(subject);
      stage.write('etc/file', 'changed');
      stage.write('etc/new', 'new');
      expect(await stage.destroy()).toBe(true);
      await stage.expectNothingLeft();
    });

  if (subject.mounts)
    it('that can not unmount is UNMOUNT_FAILED, deletes nothing, and goes well when tried again', async () => {
      const stage = await provisioned(subject);
      const busy = inFrontOf(stage.kernel, { unmount: (target) => Promise.reject(systemError('EBUSY', 'umount2', target)) });
      await expect(stage.destroy(stage.backendOn(busy))).rejects.toMatchObject({ code: 'UNMOUNT_FAILED' });
      expect(stage.read('etc/file')).toBe('content');
      expect(await stage.destroy()).toBe(true);
      await stage.expectNothingLeft();
    });

  it('[PD8] [MESOS-9196] goes well while a process has files open inside', async () => {
    const stage = await provisioned(subject);
    if (stage.kernel instanceof SimulatedKernel) {
      stage.kernel.setBusy(stage.rootfs);
      expect(await stage.destroy()).toBe(true);
    } else {
      const fd = openSync(join(stage.rootfs, 'etc/file'), 'r');
      try {
        expect(await stage.destroy()).toBe(true);
      } finally {
        closeSync(fd);
      }
    }
    await stage.expectNothingLeft();
  });
}

function leftovers(subject: BackendSubject): void {
  it('takes a rootfs directory without a mount, and scratch without a rootfs', async () => {
    const stage = await Stage.open(subject);
    mkdirSync(stage.rootfs, { recursive: true });
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
    if (stage.backend.name === 'bind') return;
    for (const name of ['upperdir', 'workdir/work', 'partial/etc', 'links']) mkdirSync(join(stage.scratch, name), { recursive: true });
    writeFileSync(join(stage.scratch, 'upperdir/file'), '');
    symlinkSync('/no/such/layer', join(stage.scratch, 'links/0'));
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it('after a reboot, with the mounts gone and the directories there, takes all', async () => {
    const stage = await provisioned(subject);
    if (subject.mounts) await stage.kernel.unmount(stage.rootfs, { detach: true });
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it('removes a symlink in place of the rootfs or of scratch, and never what it points at', async () => {
    const stage = await Stage.open(subject);
    const precious = stage.precious();
    for (const name of ['upperdir', 'workdir/work', 'links', 'partial']) mkdirSync(join(precious, name), { recursive: true });
    mkdirSync(dirname(stage.rootfs), { recursive: true });
    symlinkSync(precious, stage.rootfs);
    expect(await stage.destroy()).toBe(true);
    if (stage.backend.name !== 'bind') {
      mkdirSync(dirname(stage.scratch), { recursive: true });
      symlinkSync(precious, stage.scratch);
      expect(await stage.destroy()).toBe(true);
      mkdirSync(stage.scratch);
      symlinkSync(precious, join(stage.scratch, 'workdir'));
      symlinkSync(precious, join(stage.scratch, 'links'));
      expect(await stage.destroy()).toBe(true);
    }
    await stage.expectNothingLeft();
    for (const name of ['upperdir', 'workdir/work', 'links', 'partial']) expect(lstatSync(join(precious, name)).isDirectory()).toBe(true);
  });
}

function foreignMounts(subject: BackendSubject): void {
  it('takes mounts away that are stacked on the rootfs, with their contents untouched', async () => {
    const stage = await provisioned(subject);
    await stage.kernel.bind(stage.precious('one'), stage.rootfs);
    await stage.kernel.bind(stage.precious('two'), stage.rootfs);
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it('takes a mount inside the rootfs away, with its contents untouched', async () => {
    const stage = await provisioned(subject);
    await stage.kernel.bind(stage.precious('inner'), join(stage.rootfs, 'etc'));
    await stage.kernel.bind(stage.precious('stacked'), join(stage.rootfs, 'etc'));
    await stage.kernel.bind(stage.precious('other'), join(stage.rootfs, 'proc'));
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  it('finds a mount that the mount of the rootfs hides, and leaves its contents untouched', async () => {
    const stage = await provisioned(subject);
    if (subject.mounts) await stage.kernel.unmount(stage.rootfs, { detach: true });
    mkdirSync(join(stage.rootfs, 'below'));
    await stage.kernel.bind(stage.precious('below'), join(stage.rootfs, 'below'));
    await stage.kernel.bind(stage.precious('above'), stage.rootfs);
    if (stage.backend.name === 'bind') {
      // what lies below a bind mount is not its to delete
      await expect(stage.destroy()).rejects.toMatchObject({ code: 'IO_ERROR' });
      expect((await stage.kernel.mountTable()).atOrBelow(stage.root)).toEqual([]);
      return;
    }
    expect(await stage.destroy()).toBe(true);
    await stage.expectNothingLeft();
  });

  if (subject.writable && subject.mounts)
    it('never deletes through a mount in scratch', async () => {
      const stage = await provisioned(subject);
      const [writable = ''] = stage.backend.name === 'overlay' ? ['upperdir'] : ['workdir'];
      const inside = join(stage.scratch, writable, 'inside');
      mkdirSync(inside);
      await stage.kernel.bind(stage.precious(), inside);
      expect(await stage.destroy()).toBe(true);
      await stage.expectNothingLeft();
    });
}

function kills(subject: BackendSubject): void {
  it('takes what a provision left that was killed before or after any of its mount calls', async () => {
    for (let nth = 0, reached = true; reached; nth += 1) {
      for (const when of ['before', 'after'] as const) {
        const stage = await Stage.open(subject);
        const layers = [stage.layer({ a: file('') })];
        const { kernel, calls } = dyingKernel(stage.kernel, nth, when);
        const outcome = await stage.provision(layers, undefined, stage.backendOn(kernel)).then(
          () => 'done',
          () => 'killed',
        );
        reached = calls() > nth;
        expect(outcome).toBe(reached ? 'killed' : 'done');
        expect(await stage.destroy()).toBe(true);
        await stage.expectNothingLeft();
      }
    }
  });

  it('goes on where a destroy was killed', async () => {
    for (const when of ['before', 'after'] as const) {
      const stage = await provisioned(subject);
      const { kernel } = dyingKernel(stage.kernel, 0, when);
      await expect(stage.destroy(stage.backendOn(kernel))).rejects.toThrow('killed');
      expect(await stage.destroy()).toBe(true);
      await stage.expectNothingLeft();
    }
  });
}
