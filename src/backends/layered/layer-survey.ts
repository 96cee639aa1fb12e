import { lstatSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import type { FileCalls } from '../../linux/kernel.ts';
import { ioError } from '../directories.ts';

/** What the root directories of a stack of layers tell. */
export interface LayerSurvey {
  /** The layers that show, lowest first: those from the topmost on whose root is opaque. */
  readonly layers: readonly string[];
  /** Attributes of `/`. */
  readonly root: RootAttributes;
}

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
 * Looks at the root directory of each layer, `layers` being lowest first and at least one.
 *
 * An opaque root hides all layers below. overlayfs does not look for that on a layer's root, so the layers have to be left out.
 *
 * The attributes of `/`: most archives say nothing of their root, and unpacking then leaves 0755 root:root, so the topmost layer whose root is
 * anything else decides; where none is, the lowest, which is the one that usually names its root. Without this a base image whose root
 * is 0555, or belongs to a user, would lose that under every layer built on it.
 *
 * Fails with IO_ERROR, naming the layer, where one is no directory.
 */
export function surveyLayers(layers: readonly string[], hasOpaqueRoot: (layer: string) => boolean): LayerSurvey {
  const visible: string[] = [];
  let root: RootAttributes | undefined;
  for (const layer of layers.toReversed()) {
    const attributes = attributesOf(layer, statDirectory(layer));
    if (root === undefined || isUnnamed(root)) root = attributes;
    visible.unshift(layer);
    if (hasOpaqueRoot(layer)) break;
  }
  if (root === undefined) throw new TypeError('a stack of no layers has no root');
  return { layers: visible, root };
}

/** Whether a layer in plain form hides all below it. */
export function isPlainRootOpaque(layer: string): boolean {
  return lstatSync(join(layer, '.wh..wh..opq'), { throwIfNoEntry: false }) !== undefined;
}

/** Whether a layer in overlay form hides all below it. */
export function isOverlayRootOpaque(files: FileCalls, layer: string): boolean {
  return files.getXattr(layer, 'trusted.overlay.opaque')?.toString('latin1') === 'y';
}

function statDirectory(layer: string): BigIntStats {
  let stat: BigIntStats;
  try {
    stat = lstatSync(layer, { bigint: true });
  } catch (error) {
    throw ioError(`the layer ${layer} can't be looked at`, layer, error);
  }
  if (!stat.isDirectory()) throw ioError(`the layer ${layer} can't be used`, layer, new Error('it is no directory'));
  return stat;
}

function attributesOf(layer: string, { mode, uid, gid, atimeNs, mtimeNs }: BigIntStats): RootAttributes {
  return { layer, mode: Number(mode & 0o7777n), uid: Number(uid), gid: Number(gid), accessedNs: atimeNs, modifiedNs: mtimeNs };
}

function isUnnamed({ mode, uid, gid }: RootAttributes): boolean {
  return mode === 0o755 && (uid === 0 || uid === process.geteuid?.()) && (gid === 0 || gid === process.getegid?.());
}
