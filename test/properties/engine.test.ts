import * as fc from 'fast-check';
import { existsSync } from 'node:fs';
import { describe, it } from 'vitest';
import { openKernel } from '../../src/linux/open-kernel.ts';
import { dockerStoreDir } from '../../src/paths/docker-store.ts';
import { statePath } from '../../src/paths/provisioner.ts';
import { DockerStore } from '../../src/stores/docker/docker-store.ts';
import { openState } from '../../src/stores/state.ts';
import { IMAGES, runOnRealKernel, runOnSimulatedKernel, steps } from '../support/engine-sequences.ts';
import { writeOciLayout, type LayerSpec } from '../support/image-builder.ts';
import { itRoot } from '../support/requirements.ts';
import { makeDirectory, removeDirectory, temporaryDirectory } from '../support/temporary-directory.ts';

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

  itRoot('keeps them with real images in the real store', async () => {
    const kernel = await openKernel();
    const layout = temporaryDirectory('layout');
    const layer = (name: string): LayerSpec => ({ entries: [{ path: `from-${name}`, content: name }] });
    writeOciLayout(
      layout,
      Object.entries(IMAGES).map(([name, layers]) => ({ layers: layers.map(layer), tag: name.slice('oci:'.length) })),
    );
    const names = Object.fromEntries([...Object.keys(IMAGES), 'oci:none'].map((name) => [name, `oci:${layout}:${name.slice('oci:'.length)}`]));
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const root = makeDirectory('engine');
        const state = await openState(statePath(root));
        const store = await DockerStore.open({ directory: dockerStoreDir(root), kernel, state });
        try {
          await runOnRealKernel(root, sequence, kernel, { store, names });
        } finally {
          await store.close();
          state.close();
          removeDirectory(root);
        }
      }),
      { numRuns: 12 },
    );
  });
});
