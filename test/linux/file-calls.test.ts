import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { openFileCalls } from '../../src/linux/file-calls.ts';
import { SimulatedFileCalls } from '../../src/linux/simulated/file-calls.ts';
import { fileCallsConformance } from '../conformance/file-calls.ts';
import { describeWith } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describeWith([], 'file calls', () => {
  fileCallsConformance('koffi', () => openFileCalls({ adapter: 'koffi' }));
  fileCallsConformance('simulated', () => new SimulatedFileCalls({ privileged: true }));

  it('koffi tells the holes of a file', () => {
    const fd = openSync(join(temporaryDirectory('files'), 'sparse'), 'w+');
    try {
      ftruncateSync(fd, 1 << 20);
      expect(openFileCalls().dataExtents(fd, 1 << 20)).toEqual([]);
      writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 1 << 19);
      expect(openFileCalls().dataExtents(fd, 1 << 20)).toEqual([[1 << 19, (1 << 19) + 4096]]);
    } finally {
      closeSync(fd);
    }
  });

  it('koffi works in worker threads that come and go, and are terminated at work', async () => {
    const module = new URL('../../src/linux/file-calls.js', import.meta.url).href;
    const directory = temporaryDirectory('files');
    for (let round = 0; round < 12; round += 1) {
      const workers = Array.from({ length: 4 }, (_, index) => startWorker(module, join(directory, `${round}-${index}`)));
      await Promise.all(workers.map(async ({ working }) => working));
      const codes = await Promise.all(workers.map(async ({ worker }) => worker.terminate()));
      expect(codes).toEqual([1, 1, 1, 1]);
    }
    openFileCalls().mknod(join(directory, 'after'), 0o010600, 0, 0);
  });
});

describeWith(['mknod', 'setfattr', 'getfattr', 'touch'], 'file calls through programs', () => {
  fileCallsConformance('programs', () => openFileCalls({ adapter: 'util-linux' }));
});

/** A worker that makes calls without end; `working` settles when the first have gone well. */
function startWorker(module: string, path: string): { worker: Worker; working: Promise<void> } {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.module).then(({ openFileCalls }) => {
      const files = openFileCalls({ adapter: 'koffi' });
      files.mknod(workerData.path, 0o100600, 0, 0);
      for (let turn = 0; ; turn += 1) {
        files.setXattr(workerData.path, 'user.turn', Buffer.from(String(turn)));
        if (files.getXattr(workerData.path, 'user.turn').toString() !== String(turn)) throw new Error('another value');
        if (turn === 20) parentPort.postMessage('working');
      }
    });`;
  const worker = new Worker(script, { eval: true, workerData: { module, path } });
  const working = new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
  });
  return { worker, working };
}
