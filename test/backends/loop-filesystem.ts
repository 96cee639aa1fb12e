import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** A fresh file system of 400 MB in a file, mounted; it goes with its temporary directory when the test ends. `mkfs` gets the image as its last argument. */
export function loopFilesystem(mkfs: readonly [program: string, ...args: string[]]): string {
  const directory = temporaryDirectory('loop');
  const [image, mountPoint] = [join(directory, 'image'), join(directory, 'mnt')];
  writeFileSync(image, '');
  truncateSync(image, 400 * 1024 ** 2);
  const [program, ...args] = mkfs;
  execFileSync(program, [...args, image], { stdio: 'ignore' });
  mkdirSync(mountPoint);
  execFileSync('mount', ['-o', 'loop', image, mountPoint]);
  return mountPoint;
}
