/**
 * The one error class of rootwright. `code` comes from a closed union (docs/reference/errors.md explains each); the message says
 * what failed, where, and what to do; `cause` keeps what lay beneath.
 */
export class RootwrightError extends Error {
  override readonly name = 'RootwrightError';
  readonly code: ErrorCode;
  /** Facts that a program may want: paths, ids, digests, `expected` and `found`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Readonly<Record<string, unknown>> } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Plain data for logs and `--json`. */
  toJSON(): { code: ErrorCode; message: string; details: Readonly<Record<string, unknown>> } {
    return { code: this.code, message: this.message, details: this.details };
  }
}

/** True for a {@link RootwrightError}, also one from another copy of this package. */
export function isRootwrightError(error: unknown): error is RootwrightError {
  return typeof error === 'object' && error !== null && BRAND in error;
}

/** Throws ABORTED, with the reason as its cause, where `signal` has been aborted. `what` names the work that stops: 'provision of c1'. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw new RootwrightError('ABORTED', `${what} was aborted`, { cause: signal.reason });
}

const BRAND = Symbol.for('rootwright.error');

/** Every code, once. The order is that of docs/reference/errors.md. */
export const ERROR_CODES = [
  // what the caller said
  'INVALID_OPTION',
  'INVALID_CONTAINER_ID',
  'INVALID_IMAGE_NAME',
  // images and layers
  'IMAGE_NOT_FOUND',
  'IMAGE_INVALID',
  'IMAGE_UNSUPPORTED',
  'PLATFORM_NOT_FOUND',
  'DIGEST_MISMATCH',
  'LAYER_INVALID',
  'LAYER_UNSAFE',
  'LIMIT_EXCEEDED',
  // backends
  'BACKEND_UNAVAILABLE',
  'LAYERS_UNSUPPORTED',
  'ROOTFS_EXISTS',
  'MOUNT_FAILED',
  'UNMOUNT_FAILED',
  'COPY_FAILED',
  // containers
  'CONTAINER_NOT_FOUND',
  'CONTAINER_DESTROYING',
  'PROVISION_DESTROYED',
  'DESTROY_FAILED',
  'CHECKPOINT_FAILED',
  'CHECKPOINT_CORRUPT',
  // the directory and its index
  'ROOT_LOCKED',
  'INDEX_CORRUPT',
  'STORE_CORRUPT',
  'PRUNE_FAILED',
  // the engine and its actors
  'NOT_RECOVERED',
  'ENGINE_CLOSED',
  'ACTOR_TERMINATED',
  'ACTOR_CYCLE',
  'MAILBOX_FULL',
  'ABORTED',
  // the machine
  'UNSUPPORTED_HERE',
  'IO_ERROR',
] as const;

/** A stable, documented code. */
export type ErrorCode = (typeof ERROR_CODES)[number];
