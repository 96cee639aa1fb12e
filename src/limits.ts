/** Every limit of rootwright, named once, with its unit. docs/reference/limits.md repeats this table. */
export const LIMITS = {
  /** One segment of a container id, in bytes: a directory name. */
  containerIdSegmentBytes: 255,
  /** Segments of a container id (`a.b.c` has three). */
  containerIdSegments: 32,
  /** Layers of one rootfs; overlayfs itself stops at 500 lower directories. */
  layersPerRootfs: 500,
  /** mount(2) data: one page less its terminator. */
  mountDataBytes: 4095,
  /** One value given to fsconfig(2): 256 bytes with its terminator. */
  mountOptionValueBytes: 255,
  /** A path given to the kernel, less its terminator. */
  pathBytes: 4095,
  /** Index within index of an image, at most. */
  indexDepth: 4,
  /** Image manifest, index or config, in bytes. */
  manifestBytes: 4 * 1024 * 1024,
  /** PAX extended header, GNU long name: one header's payload, in bytes. */
  tarHeaderBytes: 1024 * 1024,
  /** Entries of one layer. */
  layerEntries: 4_000_000,
  /** Uncompressed bytes of one layer. */
  layerBytes: 512 * 1024 ** 3,
  /** Uncompressed bytes for each compressed byte, beyond `layerRatioFloorBytes`: a bomb has more. gzip cannot exceed 1032. */
  layerRatio: 1200,
  /** Below this many uncompressed bytes the ratio is not looked at. */
  layerRatioFloorBytes: 256 * 1024 ** 2,
  /** Members of a docker-archive. */
  archiveMembers: 65_536,
  /** Layers unpacked at once. */
  concurrentLayers: 4,
  /** Mounts and unmounts under way at once. */
  concurrentMounts: 4,
  /** Turns waiting in one mailbox. */
  mailboxTurns: 100_000,
  /** Turns of one backlog that run before timers and I/O are let in. */
  turnsInARow: 1_000,
  /** A `layers` checkpoint, in bytes. */
  checkpointBytes: 16 * 1024 * 1024,
  /** How long a command waits for another that holds the directory, in milliseconds. */
  lockWaitMs: 60_000,
} as const;
