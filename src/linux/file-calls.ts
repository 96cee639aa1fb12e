import type { FileCalls } from './kernel.ts';
import { koffiFileCalls } from './koffi-file-calls.ts';
import { loadLibc } from './libc.ts';
import { programFileCalls } from './program-file-calls.ts';

/** The calls on single files for this thread: by system calls where koffi loads, else through programs. `adapter` forces one. */
export function openFileCalls(options: { readonly adapter?: 'koffi' | 'util-linux' } = {}): FileCalls {
  const libc = options.adapter === 'util-linux' ? undefined : loadLibc();
  return libc === undefined ? programFileCalls() : koffiFileCalls(libc);
}
