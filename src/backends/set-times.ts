import { futimesSync, lutimesSync } from 'node:fs';
import type { FileCalls, Path } from '../linux/kernel.ts';

/**
 * Sets both times of what lies at `path`, to the nanosecond, never following a symlink. Archives mostly hold whole seconds: node:fs keeps
 * those exactly (a double has too few bits for the rest), and through `fd`, if given, without another walk of the path.
 */
export function setTimes(files: FileCalls, path: Path, accessedNs: bigint, modifiedNs: bigint, fd?: number): void {
  const accessed = wholeSeconds(accessedNs);
  const modified = wholeSeconds(modifiedNs);
  if (accessed === undefined || modified === undefined) files.setTimes(path, accessedNs, modifiedNs);
  else if (fd === undefined) lutimesSync(path, accessed, modified);
  else futimesSync(fd, accessed, modified);
}

function wholeSeconds(nanoseconds: bigint): number | undefined {
  return nanoseconds >= 0n && nanoseconds % 1_000_000_000n === 0n ? Number(nanoseconds / 1_000_000_000n) : undefined;
}
