import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The repository's directory: the tests run as compiled, somewhere below it. */
export const repository = findRepository(import.meta.dirname);

/** Every file below `directory` (relative to the repository) whose name ends in `suffix`, relative to the repository, sorted. */
export function filesBelow(directory: string, suffix: string): string[] {
  return readdirSync(join(repository, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath, entry.name).slice(repository.length + 1))
    .toSorted();
}

function findRepository(from: string): string {
  return existsSync(join(from, 'package.json')) ? from : findRepository(dirname(from));
}
