import { run } from './exec.ts';
import { isSystemError, systemError } from './system-error.ts';
import { errnoOf, programError } from './util-linux-errors.ts';

/**
 * Every path at or below `directories` that has extended attributes, with one code unit a byte (latin1). One getfattr(1) reads whole trees,
 * where FileCalls without koffi would start one for each entry. Symlinks are not followed. ENOENT of `spawn`, with what to install, where
 * there is no such program; on abort as `run`.
 */
export async function findXattrs(directories: readonly string[], signal?: AbortSignal): Promise<Set<string>> {
  const found = new Set<string>();
  for (let start = 0; start < directories.length; start += DIRECTORIES_AT_ONCE) {
    const some = directories.slice(start, start + DIRECTORIES_AT_ONCE);
    const { stdout, stderr, exitCode } = await runGetfattr(some, signal);
    // A file system without attributes is a failure to it, though not of the rest.
    if (exitCode !== 0 && errnoOf(stderr) !== 'ENOTSUP') throw programError('llistxattr', some[0] ?? '', stderr, exitCode);
    for (const line of stdout.toString('latin1').split('\n')) if (line.startsWith(PATH_LINE)) found.add(unescape(line.slice(PATH_LINE.length)));
  }
  return found;
}

/** Their paths must fit on one command line. */
const DIRECTORIES_AT_ONCE = 20;
const PATH_LINE = '# file: ';

async function runGetfattr(directories: readonly string[], signal?: AbortSignal): Promise<Awaited<ReturnType<typeof run>>> {
  try {
    return await run('getfattr', ['--recursive', '--physical', '--no-dereference', '--absolute-names', '-m', '-', '--', ...directories], {}, signal);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    throw systemError('ENOENT', 'spawn', 'getfattr', 'install the package attr, or koffi');
  }
}

/** getfattr(1) prints '\', newline and carriage return of a path in octal, and all else as it is. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
