import type { ErrorCode } from '../errors.ts';

/** What a user of the command line can do next, where the message itself can't know. */
export const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  INVALID_OPTION: "'rootwright help' and 'rootwright COMMAND --help' say how each command is used",
  INVALID_IMAGE_NAME: "images are named 'oci:DIR[:tag]' or 'docker-archive:FILE[:ref]'",
  CONTAINER_NOT_FOUND: "'rootwright list' names the containers",
  CONTAINER_DESTROYING: "run 'rootwright destroy' on it again to finish, then provision it",
  DESTROY_FAILED: "mend the cause and run 'rootwright destroy' again: it goes on where it stopped",
  UNMOUNT_FAILED: "mend the cause and run 'rootwright destroy' again: it goes on where it stopped",
  BACKEND_UNAVAILABLE: "'rootwright doctor' says which backends work here and why others don't",
  UNSUPPORTED_HERE: "'rootwright doctor' says what this machine can do",
  ROOT_LOCKED: 'another rootwright, or a program that embeds it, holds this directory; --wait SECONDS waits longer, --root uses another one',
  CHECKPOINT_CORRUPT: "'rootwright recover' sets damaged containers aside and puts the rest in order",
  STORE_CORRUPT: "'rootwright recover' sets damaged images aside; pull them again afterwards",
  INDEX_CORRUPT: "'rootwright recover' makes the index again from what lies on disk",
  NOT_RECOVERED: "run 'rootwright recover' first",
  PRUNE_FAILED: "mend the cause and run 'rootwright prune' again: it goes on where it stopped",
};
