import { describe } from 'vitest';
import { destroyTests } from './backend-destroy.ts';
import { mergeTests } from './backend-merge.ts';
import { provisionTests } from './backend-provision.ts';
import type { BackendSubject } from './backend-stage.ts';

/** All that src/backends/backend.ts promises. Every backend passes it, on every kernel that it can run on. */
export function backendConformance(name: string, subject: BackendSubject): void {
  describe(`Backend: ${name}`, () => {
    provisionTests(subject);
    if (subject.layers === 'many') mergeTests(subject);
    destroyTests(subject);
  });
}
