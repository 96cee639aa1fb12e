/**
 * The layers of an image with each one once: of a layer that comes several times, the topmost place counts (MESOS-6654: the same lower
 * directory twice can't be mounted).
 *
 * Why the lower ones may go. A path is looked up from the top layer down; a file, a whiteout or an opaque directory ends the search, a
 * plain directory adds its names and the search goes on below. Take a layer X at two places, and a path for which the search gets as far
 * as the lower X. It passed the upper X, so there X has nothing at this path, or a plain directory, and every parent is a plain directory.
 * The lower X has just the same. If it has nothing, it adds nothing. If it has a plain directory, every name in it, whiteouts included,
 * was already decided by the upper X, and the search goes on below as it would without it. So the lower X changes nothing.
 *
 * The upper X must stay: a layer Y between may remove or replace what X has, and X above Y brings it back.
 */
export function uniqueLayers<T extends { readonly diffId: string }>(layers: readonly T[]): T[] {
  const topmost = new Map(layers.map((layer, at) => [layer.diffId, at]));
  return layers.filter((layer, at) => topmost.get(layer.diffId) === at);
}
