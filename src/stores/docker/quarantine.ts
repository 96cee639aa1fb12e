import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Moves `path` into the quarantine directory, as `<name>.<unique>`, with a note `<name>.<unique>.note` beside it that says why. Fails as node:fs does. */
export function moveToQuarantine(quarantine: string, path: string, reason: string): void {
  mkdirSync(quarantine, { recursive: true });
  const target = join(quarantine, `${basename(path)}.${randomUUID()}`);
  writeFileSync(`${target}.note`, `${JSON.stringify({ path, reason, time: new Date().toISOString() })}\n`);
  renameSync(path, target);
}
