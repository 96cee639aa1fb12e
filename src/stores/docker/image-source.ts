import type { Platform } from '../store.ts';
import type { Digest, FileRegion } from './digest.ts';
import type { ImageName } from './image-name.ts';
import type { ImageConfig } from './manifest.ts';

/** An image found at its source: all that is needed to unpack it. Manifest and config are verified, layer blobs not yet. */
export interface ImageSource {
  /**
   * Of the manifest. A docker-archive has none of its own: there it is the digest of the config, which names all layers by their diff ids
   * and is docker's image id.
   */
  readonly manifestDigest: Digest;
  readonly configDigest: Digest;
  /** The config's very bytes. */
  readonly configBytes: Buffer;
  readonly config: ImageConfig;
  /** Lowest first, as the image has them: a layer may come twice. */
  readonly layers: readonly SourceLayer[];
}

/** A layer in its packed form, and where its bytes are. */
export interface SourceLayer {
  /** Of the tar. */
  readonly diffId: Digest;
  /** Of the packed bytes; undefined where no manifest tells it (docker-archive), so that only the diff id is left to verify. */
  readonly digest: Digest | undefined;
  /** Of the packed bytes. */
  readonly size: number;
  readonly mediaType: string;
  readonly blob: FileRegion;
}

/** What a source is asked for. */
export interface SourceRequest {
  readonly name: ImageName;
  readonly platform: Platform;
  /** True where the caller named the platform: then an image that says it is for another one is refused even where it is the only one. */
  readonly platformAsked: boolean;
  /** A directory for temporary files, made when it is first asked for; it stays until the layers are unpacked. */
  readonly workDirectory: () => Promise<string>;
}
