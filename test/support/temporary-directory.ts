import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A fresh directory for the running test; its mounts and files go when the test ends, whatever the outcome. */
export function temporaryDirectory(name = 'test'): string {
  const directory = makeDirectory(name);
  onTestFinished(() => removeDirectory(directory));
  return directory;
}

/** As {@link temporaryDirectory}, for suites: the caller removes it with {@link removeDirectory}. ROOTWRIGHT_TEST_DIR names another place than /tmp. */
export function makeDirectory(name: string): string {
  return realpathSync(mkdtempSync(join(process.env['ROOTWRIGHT_TEST_DIR'] ?? tmpdir(), `rootwright-${name}-`)));
}

/** Takes down every mount below `directory`, deepest first, then deletes it. */
export function removeDirectory(directory: string): void {
  const targets = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((target) => target.startsWith(`${directory}/`));
  for (const target of targets.toReversed()) execFileSync('umount', ['-l', '--', target]);
  rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}
