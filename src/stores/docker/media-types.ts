/** What a descriptor points at, by its media type; undefined for what this store does not know. */
export function kindOf(mediaType: string): MediaKind | undefined {
  return KINDS.get(mediaType);
}

/** A layer carries how its tar is packed. */
export type MediaKind =
  | { readonly kind: 'index' }
  | { readonly kind: 'manifest' }
  | { readonly kind: 'config' }
  | { readonly kind: 'layer'; readonly compression: Compression };

export type Compression = 'none' | 'gzip' | 'zstd';

/** The OCI media type of a layer packed in this way. */
export const LAYER_MEDIA_TYPE: Readonly<Record<Compression, string>> = {
  none: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
};

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

/** How packed bytes begin. The caller gives at least the first four bytes where there are as many. */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd';
  return 'none';
}

// image-spec media-types.md with its table of compatible Docker types. Nondistributable and foreign layers are layers like any other where their blob is there.
const KINDS: ReadonlyMap<string, MediaKind> = new Map<string, MediaKind>([
  [OCI_INDEX, { kind: 'index' }],
  [DOCKER_LIST, { kind: 'index' }],
  [OCI_MANIFEST, { kind: 'manifest' }],
  [DOCKER_MANIFEST, { kind: 'manifest' }],
  ['application/vnd.oci.image.config.v1+json', { kind: 'config' }],
  ['application/vnd.docker.container.image.v1+json', { kind: 'config' }],
  [LAYER_MEDIA_TYPE.none, { kind: 'layer', compression: 'none' }],
  [LAYER_MEDIA_TYPE.gzip, { kind: 'layer', compression: 'gzip' }],
  [LAYER_MEDIA_TYPE.zstd, { kind: 'layer', compression: 'zstd' }],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', { kind: 'layer', compression: 'none' }],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', { kind: 'layer', compression: 'gzip' }],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', { kind: 'layer', compression: 'zstd' }],
  ['application/vnd.docker.image.rootfs.diff.tar', { kind: 'layer', compression: 'none' }],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', { kind: 'layer', compression: 'gzip' }],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', { kind: 'layer', compression: 'zstd' }],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', { kind: 'layer', compression: 'none' }],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', { kind: 'layer', compression: 'gzip' }],
]);
