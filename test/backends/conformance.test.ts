import { readFileSync } from 'node:fs';
import { describe } from 'vitest';
import { AufsBackend } from '../../src/backends/aufs.ts';
import { BindBackend } from '../../src/backends/bind.ts';
import { CopyBackend } from '../../src/backends/copy.ts';
import { OverlayBackend } from '../../src/backends/overlay.ts';
import { KoffiKernel } from '../../src/linux/koffi-kernel.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { backendConformance } from '../conformance/backend.ts';
import type { BackendSubject } from '../conformance/backend-stage.ts';
import { describeRoot } from '../support/requirements.ts';

type Shape = Omit<BackendSubject, 'openKernel'>;

const OVERLAY: Shape = { create: (options) => new OverlayBackend(options), layers: 'many', mounts: true, writable: true };
const AUFS: Shape = { create: (options) => new AufsBackend(options), layers: 'many', mounts: true, writable: true };
const BIND: Shape = { create: (options) => new BindBackend(options), layers: 'one', mounts: true, writable: false };
const COPY: Shape = { create: (options) => new CopyBackend(options), layers: 'many', mounts: false, writable: true };

/** As before Linux 5.2: mount(2) alone, and no 'lowerdir+'. */
const oldKernel = async (): Promise<Kernel> => {
  const libc = loadLibc();
  if (libc === undefined) throw new Error('koffi does not load');
  return new KoffiKernel(libc, { mountApi: 'mount(2)' });
};
const simulated = (options: ConstructorParameters<typeof SimulatedKernel>[0]) => async (): Promise<Kernel> => new SimulatedKernel(options);

describeRoot('on the real kernel', () => {
  const kernels: ReadonlyArray<readonly [name: string, open: () => Promise<Kernel>]> = [
    ['koffi', () => openKernel({ adapter: 'koffi' })],
    ['mount(2) alone', oldKernel],
    ['util-linux', () => openKernel({ adapter: 'util-linux' })],
  ];
  for (const [name, openKernel] of kernels) {
    backendConformance(`overlay, ${name}`, { ...OVERLAY, openKernel });
    backendConformance(`bind, ${name}`, { ...BIND, openKernel });
    backendConformance(`copy, ${name}`, { ...COPY, openKernel });
  }
  const hasAufs = /\taufs$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  if (hasAufs) backendConformance('aufs, koffi', { ...AUFS, openKernel: () => openKernel({ adapter: 'koffi' }) });
  else describe.skip('Backend: aufs [SKIPPED: the kernel has no aufs]', () => undefined);
});

describe('on the simulated kernel', () => {
  backendConformance('overlay', { ...OVERLAY, openKernel: simulated({}) });
  backendConformance('overlay, without lowerdir+', { ...OVERLAY, openKernel: simulated({ overlayLowerdirAppend: false, quickMountPoint: false }) });
  backendConformance('overlay, under a shared root', { ...OVERLAY, openKernel: simulated({ rootPropagation: 'shared' }) });
  backendConformance('aufs', { ...AUFS, openKernel: simulated({ filesystems: ['aufs'] }) });
  backendConformance('bind', { ...BIND, openKernel: simulated({}) });
});
