import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../../src/linux/kernel.ts';
import { KoffiKernel } from '../../src/linux/koffi-kernel.ts';
import { loadLibc } from '../../src/linux/libc.ts';
import { SimulatedKernel, type SimulatedKernelOptions } from '../../src/linux/simulated/kernel.ts';
import type { KernelUnderTest } from '../conformance/kernel.ts';

/** A real kernel, seen through node:fs. */
export function realKernel(kernel: Kernel): KernelUnderTest {
  return {
    kernel,
    read: (path) => readFileSync(path, 'utf8'),
    readdir: (path) => readdirSync(path).toSorted(),
    write: (path, data) => writeFileSync(path, data),
    occupy(path) {
      const fd = openSync(path, 'r');
      return () => closeSync(fd);
    },
  };
}

export function simulatedKernel(options: SimulatedKernelOptions = {}): KernelUnderTest & { readonly kernel: SimulatedKernel } {
  const kernel = new SimulatedKernel(options);
  return {
    kernel,
    read: (path) => kernel.read(path).toString('utf8'),
    readdir: (path) => kernel.readdir(path),
    write: (path, data) => kernel.write(path, data),
    occupy: (path) => kernel.setBusy(path),
  };
}

/** The koffi adapter; fails where koffi does not load, as it must on the machines that run these tests. */
export function koffiKernel(options: { readonly mountApi?: 'mount(2)' } = {}): KoffiKernel {
  const libc = loadLibc();
  if (libc === undefined) throw new Error('koffi does not load');
  return new KoffiKernel(libc, options);
}
