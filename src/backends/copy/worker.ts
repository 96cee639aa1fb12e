import { parentPort, workerData } from 'node:worker_threads';
import { openFileCalls } from '../../linux/file-calls.ts';
import type { FileCalls } from '../../linux/kernel.ts';
import { runCopyTask } from './directories.ts';
import type { CopyTask, WorkerStart } from './task.ts';

/** The body of a worker thread: one task after another, each answered by one message. */
const port = parentPort;
if (port === null) throw new Error('copy/worker.js runs in a worker thread only');
const { wanted, adapter } = workerData as WorkerStart;
const files: FileCalls = openFileCalls(adapter === undefined ? {} : { adapter });
port.on('message', (task: CopyTask) => port.postMessage(runCopyTask(files, task, wanted)));
