import type { Kernel } from './kernel.ts';
import { KoffiKernel } from './koffi-kernel.ts';
import { loadLibc } from './libc.ts';
import { systemError } from './system-error.ts';

/** The kernel of this machine: by system calls where koffi loads, else by the programs of util-linux. `adapter` forces one; ENOSYS where koffi is forced and does not load. */
export async function openKernel(_options: { readonly adapter?: 'koffi' | 'util-linux' } = {}): Promise<Kernel> {
  const libc = loadLibc();
  if (libc === undefined) throw systemError('ENOSYS', 'dlopen', 'koffi', 'not installed, or no binary for this machine');
  return new KoffiKernel(libc);
}
