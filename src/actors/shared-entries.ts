import type { CheckpointedRootfs } from './checkpoint.ts';

/**
 * Makes the parts of checkpoint entries that thousands of containers have in common the same objects: ten thousand containers of one image
 * hold its layers and digests once.
 */
export class SharedEntries {
  readonly #images = new Map<string, Pick<CheckpointedRootfs, 'backend' | 'image' | 'manifestDigest' | 'configDigest' | 'layers'>>();

  /** `entry`, with what is equal to an earlier one's taken from that one. */
  share(entry: CheckpointedRootfs): CheckpointedRootfs {
    const { backend, image, manifestDigest, configDigest, layers } = entry;
    const key = [backend, image, manifestDigest, configDigest, ...layers.flatMap(({ id, path }) => [id, path])].join('\0');
    const known = this.#images.get(key);
    if (known !== undefined) return { ...entry, ...known };
    this.#images.set(key, { backend, image, manifestDigest, configDigest, layers });
    return entry;
  }
}
