import { lstatSync } from 'node:fs';

/** Attributes of the root directory of an image. */
export interface RootAttributes {
  /** The layer that they come from. */
  readonly layer: string;
  /** Permission bits, without the type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly accessedNs: bigint;
  readonly modifiedNs: bigint;
}

/**
 * The attributes of `/` in a stack of layers, lowest first. Most archives say nothing of their root, and unpacking then leaves 0755 root:root,
 * so the topmost layer whose root is anything else decides; where none is, the lowest, which is the one that usually names its root.
 * Without this a base image whose root is 0555 or belongs to a user would lose that under every layer built on it.
 * Fails with a system error where a layer is missing.
 */
export function rootAttributesOf(layers: readonly string[]): RootAttributes {
  let lowest: RootAttributes | undefined;
  for (const layer of layers.toReversed()) {
    const stat = lstatSync(layer, { bigint: true });
    const attributes: RootAttributes = {
      layer,
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      accessedNs: stat.atimeNs,
      modifiedNs: stat.mtimeNs,
    };
    if (attributes.mode !== 0o755 || attributes.uid !== 0 || attributes.gid !== 0) return attributes;
    lowest = attributes;
  }
  if (lowest === undefined) throw new TypeError('a stack of no layers has no root');
  return lowest;
}
