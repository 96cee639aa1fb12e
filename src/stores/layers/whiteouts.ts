import type { ByteString } from './byte-string.ts';
import { nameOfPath, parentOfPath } from './entry-name.ts';
import { layerError, type LayerPlace } from './layer-error.ts';

/** What a name that begins with '.wh.' stands for. */
export type Whiteout =
  /** The lower layers' entry at `path` is gone. */
  | { readonly kind: 'removed'; readonly path: ByteString }
  /** Nothing of the lower layers shows in the directory at `path`. */
  | { readonly kind: 'opaque'; readonly path: ByteString }
  /** Bookkeeping of AUFS (`.wh..wh.aufs`, `.wh..wh.orph`, `.wh..wh.plnk` and what lies below): no part of the layer. */
  | { readonly kind: 'ignored' };

/** The marker of an opaque directory (image-spec layer.md, "Opaque Whiteout"). */
export const OPAQUE_MARKER = '.wh..wh..opq';

/** Extended attributes in which overlayfs keeps its own state. */
const OVERLAY_XATTRS = 'trusted.overlay.';

/**
 * Classifies a normalised path; undefined where it is an entry like any other. Whatever type the entry has, its name decides: AUFS made
 * whiteouts as hard links of one file. Fails with LAYER_UNSAFE where the marker names nothing that could be removed, and for an entry
 * below one.
 *
 * The forms of a layer: `plain` keeps a marker as an empty file. `overlay` turns a removed entry into a character device 0/0 and an
 * opaque directory into `trusted.overlay.opaque`. A marker hides lower layers only: where the same layer holds the entry too, in either
 * order, the entry stays, and if it is a directory, it is opaque.
 */
export function findWhiteout(path: ByteString, place: LayerPlace): Whiteout | undefined {
  if (!path.includes(PREFIX)) return undefined;
  const parent = parentOfPath(path);
  for (const component of parent.split('/')) {
    if (component.startsWith(BOOKKEEPING) && component !== OPAQUE_MARKER) return { kind: 'ignored' };
    if (component.startsWith(PREFIX)) throw layerError('LAYER_UNSAFE', 'an entry below a whiteout', place);
  }
  const name = nameOfPath(path);
  if (!name.startsWith(PREFIX)) return undefined;
  if (name === OPAQUE_MARKER) return { kind: 'opaque', path: parent };
  if (name.startsWith(BOOKKEEPING)) return { kind: 'ignored' };
  const removed = name.slice(PREFIX.length);
  if (removed === '' || removed === '.' || removed === '..') throw layerError('LAYER_UNSAFE', 'a whiteout without a proper name', place);
  return { kind: 'removed', path: parent === '' ? removed : `${parent}/${removed}` };
}

/**
 * Whether an attribute from an archive may be set. `trusted.overlay.*` is left out, in both forms: in an overlay layer it would be taken
 * for overlayfs's own state (redirects, opaque directories), which an image must not forge, and a layer made from an upper directory
 * carries such leftovers without harm. `user.overlay.*` means nothing to overlays that the system mounts, and is kept.
 */
export function mayHaveXattr(name: ByteString): boolean {
  return !name.startsWith(OVERLAY_XATTRS);
}

const PREFIX = '.wh.';
const BOOKKEEPING = '.wh..wh.';
