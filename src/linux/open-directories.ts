import { chmodSync, lstatSync } from 'node:fs';
import { entriesOf, ignoreAbsent } from './directory-entries.ts';
import type { Path } from './kernel.ts';

/** Gives the owner back all rights on every directory at and below `path`, so that an ordinary user can delete what an image made read-only. */
export function openDirectories(path: Path): void {
  const directories = [path];
  for (const directory of directories) {
    ignoreAbsent(() => {
      const { mode } = lstatSync(directory);
      if ((mode & OWNER_RIGHTS) !== OWNER_RIGHTS) chmodSync(directory, (mode & 0o7777) | OWNER_RIGHTS);
    });
    for (const entry of entriesOf(directory)) if (entry.isDirectory) directories.push(entry.path);
  }
}

const OWNER_RIGHTS = 0o700;
