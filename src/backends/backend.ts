import type { LayerForm } from '../paths/docker-store.ts';

/**
 * A backend assembles layers into one root filesystem, and takes it apart again.
 *
 * The life of a rootfs: the provisioner picks an id, checkpoints the layers, then calls `provision`; when that has settled with success
 * the tree stands at `rootfs`. `destroy` leaves neither the rootfs nor anything that `provision` made beside it, whatever state a crash
 * left: it may be called for a rootfs that was never begun, half made, made, or half taken apart, any number of times.
 *
 * Both paths come from paths/: `rootfs` is `<backendDir>/rootfses/<id>`, and the backend may use `<backendDir>/scratch/<id>` for itself.
 * The root directory of a rootfs has the mode, owner and times that the image gives it, not those of a directory made for it.
 *
 * A backend never deletes through a mount: it unmounts until nothing is left at or below `rootfs`, and checks before it deletes.
 *
 * @example
 * const { ephemeralVolumes } = await backend.provision({ layers: ['/s/base', '/s/top'], rootfs, backendDir }, signal);
 * await backend.destroy({ rootfs, backendDir });
 *
 * Implementations: overlay.ts, aufs.ts, bind.ts, copy.ts; test/conformance/backend.ts holds them all. Modelled on
 * mesos::internal::slave::Backend.
 */
export interface Backend {
  readonly name: BackendName;
  /** The one form of a layer that this backend takes. */
  readonly form: LayerForm;
  /**
   * Fails with LAYERS_UNSUPPORTED (none, or more than the backend can stack), ROOTFS_EXISTS, MOUNT_FAILED, COPY_FAILED, IO_ERROR, and
   * ABORTED once it has really stopped; whatever it made by then is left for `destroy`.
   */
  provision(request: ProvisionRequest, signal?: AbortSignal): Promise<ProvisionedRootfs>;
  /**
   * True where something was there to take down, false where nothing was; either way nothing is left. Fails with UNMOUNT_FAILED or
   * IO_ERROR, and can then be tried again. It is not cancellable.
   */
  destroy(request: DestroyRequest): Promise<boolean>;
}

export type BackendName = 'overlay' | 'aufs' | 'bind' | 'copy';

export interface ProvisionRequest {
  /** Absolute directories of the layers in the backend's form, lowest first, no duplicates. */
  readonly layers: readonly string[];
  readonly rootfs: string;
  readonly backendDir: string;
}

export interface ProvisionedRootfs {
  /** The writable directories outside the rootfs path that a disk quota must count (overlay: upperdir and workdir; aufs: workdir). */
  readonly ephemeralVolumes: readonly string[];
}

export interface DestroyRequest {
  readonly rootfs: string;
  readonly backendDir: string;
}
