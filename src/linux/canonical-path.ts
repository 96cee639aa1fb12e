import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { bytesOf, textOf } from './path-bytes.ts';

/** `path` as a mount table has it: no symlink on the way, the last name as it is. Fails as node:fs does (ENOENT, ENOTDIR, EACCES, ELOOP). */
export function canonicalPath(path: string): string {
  if (path === '/') return path;
  const parent = realpathSync.native(bytesOf(dirname(path)), 'buffer') as unknown as Buffer;
  return join(textOf(parent), basename(path));
}
