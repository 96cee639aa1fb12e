import { overlayLinksDir, overlayWorkDir } from '../paths/provisioner.ts';
import type { Backend, DestroyRequest, ProvisionedRootfs, ProvisionRequest } from './backend.ts';
import type { BackendOptions } from './backend-options.ts';
import { isPlainRootOpaque } from './layered/layer-survey.ts';
import {
  checkMountData,
  destroyLayered,
  provisionLayered,
  type LayeredMountKind,
  type LayeredMountPlan,
  type LayeredPaths,
} from './layered/layered-mount.ts';

/**
 * One aufs mount, for kernels that have it: a writable branch above the layers in plain form, whose `.wh.` files aufs itself honours
 * (`ro+wh`, MESOS-6002). Modelled on Mesos' AufsBackend. Unlike there, the writable branch is an ephemeral volume: what a container
 * writes there fills the disk as it does under overlay.
 */
export class AufsBackend implements Backend {
  readonly name = 'aufs';
  readonly form = 'plain';
  private readonly options: BackendOptions;

  constructor(options: BackendOptions) {
    this.options = options;
  }

  provision(request: ProvisionRequest, signal?: AbortSignal): Promise<ProvisionedRootfs> {
    return provisionLayered(AUFS, this.options, request, signal);
  }

  destroy(request: DestroyRequest): Promise<boolean> {
    return destroyLayered(AUFS, this.options, request);
  }
}

const AUFS: LayeredMountKind = {
  name: 'aufs',
  writableDirectories: (scratch) => [overlayWorkDir(scratch)],
  hasOpaqueRoot: isPlainRootOpaque,
  plan: planAufsMount,
};

/**
 * The mount of `layers`, lowest first, on `rootfs`: `dirs=work=rw:<top>=ro+wh:…:0=ro+wh`, each name a symlink in scratch/<id>/links. aufs
 * has no escape for ':', '=' and ',' in a branch, and its data must fit in one page. Fails with LAYERS_UNSUPPORTED where it does not.
 */
export function planAufsMount({ layers, rootfs, scratch }: LayeredPaths): LayeredMountPlan {
  const branches = layers.map((_, index) => `${index}=ro+wh`).toReversed();
  const dirs = ['work=rw', ...branches].join(':');
  checkMountData('aufs', layers, `dirs=${dirs}`);
  return {
    request: { type: 'aufs', source: 'aufs', target: rootfs, directory: overlayLinksDir(scratch), options: [['dirs', dirs]] },
    links: [...layers.map((layer, index) => [String(index), layer] as const), ['work', overlayWorkDir(scratch)]],
  };
}
