import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseMountinfo, type MountTable } from './mountinfo.ts';

/**
 * The mount table of this process. The kernel hands out 4 KiB a read whatever we ask for, so a way through the thread pool for each would
 * cost more than the read; instead we read in line and let other work in between.
 */
export async function readMountTable(): Promise<MountTable> {
  const chunks: Buffer[] = [];
  const file = openSync('/proc/self/mountinfo', 'r');
  try {
    for (let reads = 1; ; reads += 1) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const bytes = readSync(file, chunk, 0, CHUNK_BYTES, null);
      if (bytes === 0) break;
      chunks.push(chunk.subarray(0, bytes));
      if (reads % READS_IN_LINE === 0) await setImmediate();
    }
  } finally {
    closeSync(file);
  }
  return parseMountinfo(Buffer.concat(chunks));
}

/** The file system types in /proc/filesystems. A module that is not loaded is not among them. */
export function readFilesystems(): ReadonlySet<string> {
  return new Set(
    readFileSync('/proc/filesystems', 'utf8')
      .split('\n')
      .map((line) => line.slice(line.indexOf('\t') + 1))
      .filter((name) => name !== ''),
  );
}

const CHUNK_BYTES = 8192;
const READS_IN_LINE = 64;
