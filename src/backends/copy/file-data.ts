import { constants, copyFileSync, ftruncateSync, readSync, writeSync, type BigIntStats } from 'node:fs';
import type { FileCalls } from '../../linux/kernel.ts';
import { isSystemError } from '../../linux/system-error.ts';
import { pathBytes, type PathString } from '../path-string.ts';

/** Copies the content of regular files, one at a time, in one thread. */
export class FileDataCopier {
  private readonly files: FileCalls;
  /** Called between pieces of a large file; throws where the work has been aborted. */
  private readonly checkpoint: () => void;
  private readonly buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  /** '<source device>:<target device>' between which blocks can't be shared. */
  private readonly notCloned = new Set<string>();

  constructor(files: FileCalls, checkpoint: () => void) {
    this.files = files;
    this.checkpoint = checkpoint;
  }

  /**
   * Makes `target` a file that shares the blocks of `source` (FICLONE: btrfs, xfs, bcachefs), atomically and whatever its size. False where
   * these two file systems can't, which is asked once.
   */
  clone(source: PathString, stat: BigIntStats, target: PathString, targetDevice: bigint): boolean {
    if (stat.size < CLONE_BYTES) return false;
    const devices = `${stat.dev}:${targetDevice}`;
    if (this.notCloned.has(devices)) return false;
    try {
      copyFileSync(pathBytes(source), pathBytes(target), constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
      return true;
    } catch (error) {
      if (!isSystemError(error, 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS')) throw error;
      this.notCloned.add(devices);
      return false;
    }
  }

  /** Copies from one open file to another, new one. Holes stay holes. Throws where the source is not as long as `stat` says. */
  copy(source: number, stat: BigIntStats, target: number): void {
    const size = Number(stat.size);
    if (stat.blocks * 512n >= stat.size) {
      this.copyRange(source, target, 0, size, false);
      return;
    }
    for (const [offset, end] of this.files.dataExtents(source, size)) this.copyRange(source, target, offset, end, true);
    ftruncateSync(target, size);
  }

  /** With `sparse` whole blocks of zeros are left out: not every adapter can ask where the holes are. */
  private copyRange(source: number, target: number, start: number, end: number, sparse: boolean): void {
    for (let offset = start; offset < end; ) {
      const bytes = readSync(source, this.buffer, 0, Math.min(end - offset, this.buffer.length), offset);
      if (bytes === 0) throw new Error(`the file ended at ${offset} of ${end} bytes: it is being changed`);
      if (sparse) this.writeSparse(target, bytes, offset);
      else writeFully(target, this.buffer.subarray(0, bytes), offset);
      offset += bytes;
      if (offset < end) this.checkpoint();
    }
  }

  private writeSparse(target: number, bytes: number, offset: number): void {
    for (let start = 0; start < bytes; start += BLOCK_BYTES) {
      const block = this.buffer.subarray(start, Math.min(start + BLOCK_BYTES, bytes));
      if (block.compare(ZEROS, 0, block.length) !== 0) writeFully(target, block, offset + start);
    }
  }
}

/**
 * Read and written in one piece. Larger writes make the kernel look for larger pages: with 512 KiB the same files took two to three times as
 * long on ext4. copy_file_range(2) is a third quicker still for large files; but it marks the layer's file as read, and can't be stopped.
 */
const PIECE_BYTES = 64 * 1024;
/** A smaller file costs less to write than to share. */
const CLONE_BYTES = 4096n;
const BLOCK_BYTES = 4096;

const ZEROS = Buffer.alloc(BLOCK_BYTES);

function writeFully(fd: number, data: Buffer, position: number): void {
  for (let written = 0; written < data.length; ) written += writeSync(fd, data, written, data.length - written, position + written);
}
