import type { Kernel } from './kernel.ts';
import { KoffiKernel } from './koffi-kernel.ts';
import { loadLibc } from './libc.ts';
import { systemError } from './system-error.ts';
import { UtilLinuxKernel } from './util-linux-kernel.ts';

/**
 * The kernel of this machine: by system calls where koffi loads, else through the programs of util-linux. `adapter` forces one. Fails with
 * ENOSYS where koffi is forced and does not load.
 */
export async function openKernel(options: { readonly adapter?: 'koffi' | 'util-linux' } = {}): Promise<Kernel> {
  const libc = options.adapter === 'util-linux' ? undefined : loadLibc();
  if (libc !== undefined) return new KoffiKernel(libc);
  if (options.adapter !== 'koffi') return new UtilLinuxKernel();
  throw systemError('ENOSYS', 'dlopen', 'koffi', 'it is not installed, or has no binary for this machine; leave the adapter to us, or reinstall');
}
