import { parentPort } from 'node:worker_threads';
import { openFileCalls } from '../../linux/file-calls.ts';
import { openMemoryCalls } from '../../linux/memory-calls.ts';
import { BatchApplier } from './apply-batch.ts';

/** To a thread: a batch to carry out, or a layer to let go of where there is no batch. */
export interface BatchMessage {
  readonly id: number;
  readonly layer: number;
  /** The directory of the layer. */
  readonly target: string;
  readonly memory: ArrayBuffer | undefined;
  /** In bytes. */
  readonly length: number;
}

/** From a thread: the batch is done, or has failed; its memory comes back. */
export interface BatchReply {
  readonly id: number;
  readonly memory: ArrayBuffer | undefined;
  readonly warnings: readonly string[];
  readonly error?: { readonly message: string; readonly code?: string; readonly errno?: number; readonly syscall?: string; readonly path?: string };
}

const port = parentPort;
if (port !== null) {
  // Native code is loaded with the first batch and not before: a thread that ends while it loads some takes the process with it, and one
  // with a batch is waited for.
  let applier: BatchApplier | undefined;
  port.on('message', ({ id, layer, target, memory, length }: BatchMessage) => {
    const reply = { id, memory, warnings: [] as readonly string[] };
    const transfer = memory === undefined ? [] : [memory];
    try {
      if (memory === undefined) applier?.discard(layer);
      else reply.warnings = (applier ??= new BatchApplier(openFileCalls(), openMemoryCalls())).apply(layer, target, memory, length);
      port.postMessage(reply satisfies BatchReply, transfer);
    } catch (error) {
      port.postMessage({ ...reply, error: plain(error) } satisfies BatchReply, transfer);
    }
  });
}

function plain(error: unknown): NonNullable<BatchReply['error']> {
  const { message, code, errno, syscall, path } = error as NodeJS.ErrnoException;
  return {
    message,
    ...(code === undefined ? {} : { code }),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(path === undefined ? {} : { path }),
  };
}
