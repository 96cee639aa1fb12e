import { spawnSync } from 'node:child_process';
import { describe, it } from 'vitest';

/** Why tests that mount, make devices or set trusted xattrs can't run here; undefined where they can. scripts/test.mjs sets the variable where root is not enough. */
const noRoot = process.getuid?.() === 0 ? process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] : 'needs root (mount, mknod, trusted.* attributes)';

/** Tests that need root: run where they can, else skipped with the reason in the title. */
export const itRoot =
  noRoot === undefined ? it : (title: string, ..._rest: unknown[]): void => it.skip(`${title} [SKIPPED: ${noRoot}]`, () => undefined);
export const describeRoot =
  noRoot === undefined
    ? describe
    : (title: string, ..._rest: unknown[]): void => {
        describe.skip(`${title} [SKIPPED: ${noRoot}]`, () => undefined);
      };

/** A suite that needs root and these programs on PATH. */
export function describeWith(programs: readonly string[], title: string, body: () => void): void {
  const missing = programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  const reason = noRoot ?? (missing.length > 0 ? `missing programs: ${missing.join(', ')}` : undefined);
  if (reason === undefined) describe(title, body);
  else describe.skip(`${title} [SKIPPED: ${reason}]`, body);
}
