import * as fc from 'fast-check';
import { existsSync } from 'node:fs';
import { describe, it } from 'vitest';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { runOnRealKernel, runOnSimulatedKernel, steps } from '../support/engine-sequences.ts';
import { itRoot } from '../support/requirements.ts';
import { makeDirectory, removeDirectory } from '../support/temporary-directory.ts';

// Thousands of flushes: in memory they take no time, and a kill of the engine is not a power cut.
if (existsSync('/dev/shm')) process.env['ROOTWRIGHT_TEST_DIR'] ??= '/dev/shm';

describe('the engine', () => {
  it('keeps its promises over random operations, side by side, with failures, aborts and kills at every step', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.scheduler(), async (sequence, scheduler) => {
        const root = makeDirectory('engine');
        try {
          await runOnSimulatedKernel(root, sequence, scheduler);
        } finally {
          removeDirectory(root);
        }
      }),
      { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 500) },
    );
  });

  itRoot('keeps them on the real kernel too', async () => {
    const kernel = await openKernel();
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const root = makeDirectory('engine');
        try {
          await runOnRealKernel(root, sequence, kernel);
        } finally {
          removeDirectory(root);
        }
      }),
      { numRuns: 40 },
    );
  });
});
