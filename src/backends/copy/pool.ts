import { Worker } from 'node:worker_threads';
import type { CopyResult, CopyTask, WorkerStart } from './task.ts';

/**
 * A few worker threads that copy, shared by all provisions of one backend. Threads start when there is work and stop after a while without;
 * an idle one keeps no process alive.
 */
export class CopyPool {
  readonly threads: number;
  private readonly idleMs: number;
  private readonly adapter: WorkerStart['adapter'] | undefined;
  private readonly wanted = new Int32Array(new SharedArrayBuffer(4));
  /** How much of `wanted` the waiting tasks are. */
  private wantedByWaiting = 0;
  private readonly members = new Set<Member>();
  private readonly waiting: Waiting[] = [];

  constructor({ threads = 2, idleMs = 10_000, adapter }: CopyPoolOptions = {}) {
    this.threads = threads;
    this.idleMs = idleMs;
    this.adapter = adapter;
  }

  /**
   * Runs one task, first come, first served. A worker that has more directories than it has begun gives them back while others wait.
   * Rejects only where a thread dies; what goes wrong with a file is in the result.
   */
  run(task: CopyTask): Promise<CopyResult> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ task, resolve, reject });
      this.assign();
    });
  }

  /** Says that so many threads more, or with a negative number fewer, could be put to use. */
  want(threads: number): void {
    if (threads !== 0) Atomics.add(this.wanted, 0, threads);
  }

  private assign(): void {
    while (this.waiting.length > 0) {
      const member = [...this.members].find(({ current }) => current === undefined) ?? this.start();
      if (member === undefined) break;
      const next = this.waiting.shift();
      if (next === undefined) break;
      clearTimeout(member.retirement);
      member.current = next;
      member.worker.ref();
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker has no origin
      member.worker.postMessage(next.task);
    }
    // Tasks that wait for a thread count as well: otherwise a small tree would wait for all of a large one.
    this.want(this.waiting.length - this.wantedByWaiting);
    this.wantedByWaiting = this.waiting.length;
  }

  private start(): Member | undefined {
    if (this.members.size >= this.threads) return undefined;
    const start: WorkerStart = { wanted: this.wanted, ...(this.adapter !== undefined && { adapter: this.adapter }) };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: start, name: 'rootwright-copy' });
    const member: Member = { worker, current: undefined, retirement: undefined };
    let failure: unknown;
    worker.on('message', (result: CopyResult) => {
      const { current } = member;
      this.rest(member);
      current?.resolve(result);
      this.assign();
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => {
      this.members.delete(member);
      clearTimeout(member.retirement);
      member.current?.reject(failure ?? new Error(`a copy thread ended with exit code ${code}`));
      this.assign();
    });
    this.members.add(member);
    return member;
  }

  private rest(member: Member): void {
    member.current = undefined;
    member.worker.unref();
    member.retirement = setTimeout(() => {
      this.members.delete(member);
      void member.worker.terminate();
    }, this.idleMs).unref();
  }
}

export interface CopyPoolOptions {
  readonly threads?: number;
  /** How long a thread waits for work before it stops, in milliseconds. */
  readonly idleMs?: number;
  readonly adapter?: WorkerStart['adapter'];
}

interface Member {
  readonly worker: Worker;
  current: Waiting | undefined;
  retirement: NodeJS.Timeout | undefined;
}

interface Waiting {
  readonly task: CopyTask;
  readonly resolve: (result: CopyResult) => void;
  readonly reject: (error: unknown) => void;
}
