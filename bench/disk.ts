import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Where everything is measured: a fresh ext4 on a fully written file behind a direct-I/O loop device, so that neither the history of the
 * machine's disk nor host allocation of new blocks shows, or, with `kind` 'dir', a directory of the disk as it is. The mount and the loop
 * device end with this mount namespace; whoever made `work` removes it.
 */
export class Disk {
  /** Emptied by {@link fresh}. */
  readonly directory: string;
  readonly #kind: DiskKind;
  readonly #image: string;

  constructor(work: string, kind: DiskKind) {
    this.#kind = kind;
    this.#image = join(work, 'disk.img');
    this.directory = join(work, 'disk');
  }

  /** What it is, for the report. */
  get description(): string {
    return this.#kind === 'ext4'
      ? `a fresh ext4 of ${SIZE_GIB} GiB on a loop device with direct I/O for each experiment`
      : 'a directory of the disk as it is';
  }

  /** An empty file system, or an empty directory. */
  fresh(): void {
    this.clear();
    mkdirSync(this.directory, { recursive: true });
    if (this.#kind === 'dir') return;
    if (!existsSync(this.#image)) run('dd', 'if=/dev/zero', `of=${this.#image}`, 'bs=4M', `count=${SIZE_GIB * 256}`, 'conv=fsync', 'status=none');
    const device = run('losetup', '-f', '--show', '--direct-io=on', this.#image).trim();
    try {
      run('mkfs.ext4', '-q', '-F', '-i', '8192', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', device);
      run('mount', device, this.directory);
    } finally {
      run('losetup', '-d', device); // the mount holds it; it goes with the mount
    }
  }

  /** Unmounts what lies on it and the disk itself. */
  clear(): void {
    if (!existsSync(this.directory)) return;
    run('sh', '-c', UNMOUNT_BELOW, 'sh', this.directory);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Writes all dirty data, so that one contender does not pay for another. Seconds that it took. */
  settle(): number {
    const start = performance.now();
    run('sync', '-f', this.directory);
    return (performance.now() - start) / 1000;
  }
}

export type DiskKind = 'ext4' | 'dir';

const SIZE_GIB = 8;

/** Deepest first, whatever is mounted at or below $1. */
const UNMOUNT_BELOW = `awk -v d="$1" '$5 == d || index($5, d "/") == 1 { print $5 }' /proc/self/mountinfo | tac | while IFS= read -r m; do umount -l "$(printf '%b' "$m")"; done`;

function run(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 });
}
