import type { FileCalls } from './kernel.ts';
import { koffiFileCalls } from './koffi-file-calls.ts';
import { loadLibc } from './libc.ts';
import { systemError } from './system-error.ts';

/** The calls on single files for this thread: by system calls where koffi loads. */
export function openFileCalls(): FileCalls {
  const libc = loadLibc();
  if (libc === undefined) throw systemError('ENOSYS', 'dlopen', 'koffi', 'not installed, or no binary for this machine');
  return koffiFileCalls(libc);
}
