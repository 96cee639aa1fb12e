import { isAbsolute } from 'node:path';
import { z } from 'zod';
import type { BackendName } from '../backends/backend.ts';
import { RootwrightError } from '../errors.ts';
import type { Kernel } from '../linux/kernel.ts';
import type { Logger } from '../logging.ts';
import type { Metrics } from '../metrics.ts';
import type { Platform } from '../stores/store.ts';

/** What {@link createEngine} takes. Unknown keys are refused. */
export interface EngineOptions {
  /** The directory that holds everything, absolute; made where absent. Two engines never share one. */
  readonly root: string;
  /** The backend of new rootfses. Default: the first of overlay, aufs and copy that works here. A forced one that can't work is refused. */
  readonly backend?: BackendName | undefined;
  /** How to reach the kernel: `koffi` (system calls), `util-linux` (programs), or an object of your own. Default: koffi where it loads. */
  readonly kernel?: 'koffi' | 'util-linux' | Kernel | undefined;
  /** What to choose from images for several platforms. Default: this machine's. */
  readonly platform?: Platform | undefined;
  /** A pino logger, or anything of that shape. Default: silent. */
  readonly logger?: Logger | undefined;
  /** Where to count. Default: sums in memory, in `engine.metrics`. */
  readonly metrics?: Metrics | undefined;
  /** How long to wait for another process that holds `root`, in milliseconds. Default 0: fail with ROOT_LOCKED at once. */
  readonly lockWaitMs?: number | undefined;
  /** Called once, when that wait begins. */
  readonly onLockWait?: (() => void) | undefined;
  /** Worker threads that unpack layers. Default: as the machine has cores, at most LIMITS.concurrentLayers. */
  readonly unpackThreads?: number | undefined;
  /** Worker threads of the copy backend. */
  readonly copyThreads?: number | undefined;
  /** Layers brought at once. Default LIMITS.concurrentLayers. */
  readonly concurrentLayers?: number | undefined;
  /** False: `recover` is left to you, and until it has run the other operations fail with NOT_RECOVERED. Default true. */
  readonly recover?: boolean | undefined;
}

/** The options, checked. Fails with INVALID_OPTION, which names every option that is wrong. */
export function checkEngineOptions(options: EngineOptions): EngineOptions {
  const result = SCHEMA.safeParse(options);
  if (result.success) return options;
  const problems = result.error.issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`));
  throw new RootwrightError('INVALID_OPTION', `createEngine: ${problems.join('; ')}`, { details: { problems } });
}

const threads = z.int().min(1).max(256);

function shaped<T>(what: string, ...methods: ReadonlyArray<keyof T & string>): z.ZodType<T> {
  return z.custom<T>(
    (value) =>
      typeof value === 'object' && value !== null && methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function'),
    `must be ${what} (an object with ${methods.join(', ')})`,
  );
}

const SCHEMA = z.strictObject({
  root: z.string().refine((path) => isAbsolute(path) && !path.includes('\0'), 'must be an absolute path'),
  backend: z.enum(['overlay', 'aufs', 'bind', 'copy']).optional(),
  kernel: z.union([z.enum(['koffi', 'util-linux']), shaped<Kernel>('a kernel', 'mount', 'unmount', 'bind', 'mountTable')]).optional(),
  platform: z.strictObject({ os: z.string().min(1), architecture: z.string().min(1), variant: z.string().optional() }).optional(),
  logger: shaped<Logger>('a logger', 'debug', 'info', 'warn', 'error', 'child').optional(),
  metrics: shaped<Metrics>('metrics', 'increment', 'observe').optional(),
  lockWaitMs: z.number().min(0).optional(),
  onLockWait: z.custom<() => void>((value) => typeof value === 'function', 'must be a function').optional(),
  unpackThreads: threads.optional(),
  copyThreads: threads.optional(),
  concurrentLayers: threads.optional(),
  recover: z.boolean().optional(),
});
