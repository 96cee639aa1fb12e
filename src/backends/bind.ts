import { RootwrightError, throwIfAborted } from '../errors.ts';
import type { Backend, DestroyRequest, ProvisionedRootfs, ProvisionRequest } from './backend.ts';
import type { BackendOptions } from './backend-options.ts';
import { makeRootfsDirectory } from './directories.ts';
import { surveyLayers } from './layered/layer-survey.ts';
import { checkLayerCount } from './layered/layered-mount.ts';
import { mountSharedSlave, removeMountPoint } from './mount-point.ts';

/**
 * A bind mount of a single layer, read-only: the cheapest rootfs there is, for images of one layer whose containers write nothing. What is
 * mounted inside must have its directory in the image. Modelled on Mesos' BindBackend; chosen only when asked for.
 */
export class BindBackend implements Backend {
  readonly name = 'bind';
  readonly form = 'plain';
  private readonly options: BackendOptions;

  constructor(options: BackendOptions) {
    this.options = options;
  }

  async provision({ layers, rootfs }: ProvisionRequest, signal?: AbortSignal): Promise<ProvisionedRootfs> {
    const what = `provision of ${rootfs}`;
    throwIfAborted(signal, what);
    checkLayerCount('bind', layers);
    const [layer] = layers;
    if (layers.length > 1 || layer === undefined)
      throw new RootwrightError('LAYERS_UNSUPPORTED', `the bind backend takes one layer, ${layers.length} were given; use overlay or copy`, {
        details: { layers: layers.length, limit: 1 },
      });
    // The kernel's ENOENT does not say which of the two paths it means.
    surveyLayers(layers, () => false);
    makeRootfsDirectory(rootfs);
    const { kernel, onSwallowed } = this.options;
    await mountSharedSlave(kernel, rootfs, () => kernel.bind(layer, rootfs, { readOnly: true }), onSwallowed);
    throwIfAborted(signal, what);
    return { ephemeralVolumes: [] };
  }

  /** Never deletes recursively: all that could lie below this mount is the layer, which other containers use. */
  destroy({ rootfs }: DestroyRequest): Promise<boolean> {
    return removeMountPoint(this.options.kernel, rootfs, 'refuse');
  }
}
