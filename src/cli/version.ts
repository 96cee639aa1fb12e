import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The version in our package.json, the nearest one above this file. */
export function packageVersion(): string {
  for (let directory = import.meta.dirname; ; directory = dirname(directory)) {
    try {
      return (JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || directory === '/') throw error;
    }
  }
}
