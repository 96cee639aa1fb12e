import { basename, dirname, join } from 'node:path';

/** How a store keeps a layer: `plain`, a tree with `.wh.` files as in the archive; `overlay`, a tree with overlayfs whiteouts. */
export type LayerForm = 'plain' | 'overlay';

/**
 * The layout of the docker store:
 *
 * ```
 * <root>/store/docker/
 *   staging/<uuid>/             one pull at work; nothing here is trusted, recovery sweeps it
 *   layers/<diff id>/rootfs             the plain form
 *   layers/<diff id>/rootfs.overlay     the overlay form; each form appears by one rename, complete
 *   layers/<diff id>/rootfs[.overlay].json    what is known of that form: its bytes and entries (JSON), so that the index can be made anew
 *   configs/<config digest>             image configs, named by their digest
 *   images/<key>.json           what an image is made of (JSON, checksummed); the key is the SHA-256 of its name and platform
 *   gc/<what>.<uuid>                    marked by prune, swept in the background
 * ```
 */
export const dockerStoreDir = (root: string): string => join(root, 'store', 'docker');
export const stagingDir = (store: string): string => join(store, 'staging');
export const layersDir = (store: string): string => join(store, 'layers');
export const layerDir = (store: string, diffId: string): string => join(layersDir(store), diffId);
export const layerFormDir = (store: string, diffId: string, form: LayerForm): string => join(layerDir(store, diffId), FORM_DIRECTORY[form]);
export const layerFactsPath = (store: string, diffId: string, form: LayerForm): string => `${layerFormDir(store, diffId, form)}.json`;
/** The diff id in the path of a layer's form, as {@link layerFormDir} makes it; of any other path it is just the last but one name. */
export const layerIdOf = (layerFormDirectory: string): string => basename(dirname(layerFormDirectory));
export const configsDir = (store: string): string => join(store, 'configs');
export const configPath = (store: string, configDigest: string): string => join(configsDir(store), configDigest);
export const imagesDir = (store: string): string => join(store, 'images');
/** `key` is the hex SHA-256 of the normalised name and the platform. */
export const imagePath = (store: string, key: string): string => join(imagesDir(store), `${key}.json`);
export const gcDir = (store: string): string => join(store, 'gc');
/** `unique` keeps what was pruned now apart from an earlier one of the same name that is not swept yet. */
export const gcPath = (store: string, what: string, unique: string): string => join(gcDir(store), `${what}.${unique}`);
export const stagedDir = (store: string, unique: string): string => join(stagingDir(store), unique);

/** The directory name of each form, as Mesos has them. */
export const FORM_DIRECTORY: Readonly<Record<LayerForm, string>> = { plain: 'rootfs', overlay: 'rootfs.overlay' };
