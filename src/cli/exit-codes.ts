import type { ErrorCode } from '../errors.ts';

/** How a command ends; docs/reference/cli.md promises these numbers. After a signal the status is 128 and the signal's number. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  integrity: 5,
  recoveryNeeded: 6,
  unsupported: 7,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The status with which a command fails for each error code. The type makes the table complete. */
export const EXIT_CODE_OF: Readonly<Record<ErrorCode, ExitCode>> = {
  INVALID_OPTION: EXIT.usage,
  INVALID_CONTAINER_ID: EXIT.usage,
  INVALID_IMAGE_NAME: EXIT.usage,

  IMAGE_NOT_FOUND: EXIT.notFound,
  IMAGE_INVALID: EXIT.integrity,
  IMAGE_UNSUPPORTED: EXIT.unsupported,
  PLATFORM_NOT_FOUND: EXIT.notFound,
  DIGEST_MISMATCH: EXIT.integrity,
  LAYER_INVALID: EXIT.integrity,
  LAYER_UNSAFE: EXIT.integrity,
  LIMIT_EXCEEDED: EXIT.integrity,

  BACKEND_UNAVAILABLE: EXIT.unsupported,
  LAYERS_UNSUPPORTED: EXIT.unsupported,
  ROOTFS_EXISTS: EXIT.conflict,
  MOUNT_FAILED: EXIT.failure,
  UNMOUNT_FAILED: EXIT.failure,
  COPY_FAILED: EXIT.failure,

  CONTAINER_NOT_FOUND: EXIT.notFound,
  CONTAINER_DESTROYING: EXIT.conflict,
  PROVISION_DESTROYED: EXIT.conflict,
  DESTROY_FAILED: EXIT.failure,
  CHECKPOINT_FAILED: EXIT.failure,
  CHECKPOINT_CORRUPT: EXIT.integrity,

  ROOT_LOCKED: EXIT.conflict,
  INDEX_CORRUPT: EXIT.integrity,
  STORE_CORRUPT: EXIT.integrity,
  PRUNE_FAILED: EXIT.failure,

  NOT_RECOVERED: EXIT.recoveryNeeded,
  ENGINE_CLOSED: EXIT.failure,
  ACTOR_TERMINATED: EXIT.failure,
  ACTOR_CYCLE: EXIT.failure,
  MAILBOX_FULL: EXIT.conflict,
  ABORTED: EXIT.interrupted,

  UNSUPPORTED_HERE: EXIT.unsupported,
  IO_ERROR: EXIT.failure,
};
