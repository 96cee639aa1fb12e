import { readlinkSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { Mount, MountTable } from '../linux/mountinfo.ts';
import { isSystemError } from '../linux/system-error.ts';
import { dockerStoreDir, layerFormDir, layerIdOf, type LayerForm } from '../paths/docker-store.ts';
import { overlayLinksDir } from '../paths/provisioner.ts';
import type { CheckpointedLayer } from './checkpoint.ts';

/**
 * The layers of a rootfs whose checkpoint was lost, told from the mount on it: overlay names its lower directories, a bind mount the
 * directory that it shows. A copy uses no layer any more. Lowest first; undefined where they can't be told for certain.
 */
export function layersOfMount(root: string, backend: string, rootfs: string, scratch: string, table: MountTable): CheckpointedLayer[] | undefined {
  if (backend === 'copy') return [];
  const mount = table.at(rootfs)[0];
  if (mount === undefined) return undefined;
  if (backend === 'overlay' && mount.type === 'overlay') {
    const paths = lowerDirectories(mount).map((path) => followLink(path, overlayLinksDir(scratch)));
    return named(root, 'overlay', paths.toReversed());
  }
  if (backend === 'bind') return named(root, 'plain', [shownLayer(root, mount)]);
  return undefined;
}

/** Topmost first, as the kernel shows them: one `lowerdir+` each, or one list with `:` between. */
function lowerDirectories({ superOptions }: Mount): string[] {
  const paths: string[] = [];
  for (const option of superOptions) {
    if (option.startsWith('lowerdir+=')) paths.push(option.slice('lowerdir+='.length));
    else if (option.startsWith('lowerdir=')) paths.push(...option.slice('lowerdir='.length).split(/(?<!\\):/));
  }
  return paths.map((path) => path.replace(/\\(.)/g, '$1'));
}

/** The mount table has the path of a bind's source within its file system, of which only the end is certain. */
function shownLayer(root: string, mount: Mount): string | undefined {
  const store = dockerStoreDir(root);
  const path = layerFormDir(store, layerIdOf(mount.root), 'plain');
  return mount.root.endsWith(path.slice(store.length)) ? path : undefined;
}

function followLink(path: string, links: string): string | undefined {
  if (isAbsolute(path)) return path;
  try {
    return readlinkSync(resolve(links, path));
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

/** Only what is certain counts: every path must be the place of a layer in our store. */
function named(root: string, form: LayerForm, paths: ReadonlyArray<string | undefined>): CheckpointedLayer[] | undefined {
  const layers: CheckpointedLayer[] = [];
  for (const path of paths) {
    if (path === undefined) return undefined;
    const id = layerIdOf(path);
    if (layerFormDir(dockerStoreDir(root), id, form) !== path) return undefined;
    layers.push({ id, path });
  }
  return layers.length === 0 ? undefined : layers;
}
