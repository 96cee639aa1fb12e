import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory, removeDirectory } from './temporary-directory.ts';

/** A directory to work in. `close` takes down what is mounted below it and removes it. */
export interface Workplace {
  readonly directory: string;
  close(): void;
}

/**
 * An empty ext4 of its own in a sparse file, where the machine lets us; else a plain directory. Suites that make and delete trees of many
 * thousand files need it: ext4 does not hand out an inode again for a minute or more after it was freed, and creating files gets ten times
 * slower while it looks for others.
 */
export function makeFreshFilesystem(name: string): Workplace {
  const outer = makeDirectory(name);
  const directory = join(outer, 'fs');
  const image = join(outer, 'ext4');
  mkdirSync(directory);
  writeFileSync(image, '');
  truncateSync(image, SIZE_BYTES);
  const made = spawnSync('sh', ['-ec', 'mkfs.ext4 -q -F -i 8192 "$1" && mount -o loop "$1" "$2"', 'sh', image, directory], { stdio: 'ignore' });
  return {
    directory,
    close: () => {
      // At once, not detached: the loop device must be gone before its file is.
      if (made.status === 0) execFileSync('sh', ['-c', UNMOUNT_BELOW, 'sh', directory]);
      removeDirectory(outer);
    },
  };
}

/** A tmpfs of its own where the machine has memory for it, else a plain directory: for suites that make and delete a lot, and ask nothing of the disk. */
export function makeMemoryFilesystem(name: string): Workplace {
  const directory = makeDirectory(name);
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024;
  if (available >= 2 * MEMORY_BYTES)
    spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${MEMORY_BYTES},mode=755`, 'tmpfs', directory], { stdio: 'ignore' });
  return {
    directory,
    close: () => {
      execFileSync('sh', ['-c', UNMOUNT_BELOW, 'sh', directory]);
      removeDirectory(directory);
    },
  };
}

const MEMORY_BYTES = 4 * 1024 ** 3;
const SIZE_BYTES = 8 * 1024 ** 3;
const UNMOUNT_BELOW = `awk -v d="$1" '$5 == d || index($5, d "/") == 1 { print $5 }' /proc/self/mountinfo | tac | while IFS= read -r m; do umount "$(printf '%b' "$m")" || umount -l "$(printf '%b' "$m")"; done`;
