import { LIMITS } from '../limits.ts';
import { overlayLinksDir, overlayUpperDir, overlayWorkDir } from '../paths/provisioner.ts';
import type { Backend, DestroyRequest, ProvisionedRootfs, ProvisionRequest } from './backend.ts';
import type { BackendOptions } from './backend-options.ts';
import { isOverlayRootOpaque } from './layered/layer-survey.ts';
import {
  checkMountData,
  destroyLayered,
  provisionLayered,
  type LayeredMountKind,
  type LayeredMountPlan,
  type LayeredPaths,
} from './layered/layered-mount.ts';

/**
 * One overlayfs mount: the layers below, a writable directory on top. Modelled on Mesos' OverlayBackend, with these differences: more than
 * 200 layers mount, no directory in /tmp is needed, and any character may be in a path.
 *
 * Where the kernel takes its lower directories one by one (`lowerdir+`, Linux 6.8) paths go to it as they are. Otherwise, or where one is
 * too long for that, scratch/<id>/links holds a symlink `0`, `1`, … to each layer, and `upper` and `work`: short names without odd
 * characters, because all of mount(2)'s data must fit in one page. The kernel resolves them once, at mount time.
 */
export class OverlayBackend implements Backend {
  readonly name = 'overlay';
  readonly form = 'overlay';
  private readonly options: BackendOptions;
  private readonly kind: LayeredMountKind;

  constructor(options: BackendOptions) {
    this.options = options;
    this.kind = {
      name: 'overlay',
      // workdir counts too: XFS refuses, with EXDEV, a rename from a directory of another project id.
      writableDirectories: (scratch) => [overlayUpperDir(scratch), overlayWorkDir(scratch)],
      hasOpaqueRoot: (layer) => isOverlayRootOpaque(options.kernel.files, layer),
      plan: (paths) => planOverlayMount(paths, options.kernel.features),
    };
  }

  provision(request: ProvisionRequest, signal?: AbortSignal): Promise<ProvisionedRootfs> {
    return provisionLayered(this.kind, this.options, request, signal);
  }

  destroy(request: DestroyRequest): Promise<boolean> {
    return destroyLayered(this.kind, this.options, request);
  }
}

/** The mount of `layers`, lowest first, on `rootfs`. Fails with LAYERS_UNSUPPORTED where it would not fit mount(2). */
export function planOverlayMount({ layers, rootfs, scratch }: LayeredPaths, features: { readonly overlayLowerdirAppend: boolean }): LayeredMountPlan {
  const mount = { type: 'overlay', source: 'overlay', target: rootfs };
  const upper = overlayUpperDir(scratch);
  const work = overlayWorkDir(scratch);
  if (features.overlayLowerdirAppend && [...layers, upper, work].every(fitsOneValue))
    return { request: { ...mount, options: [...layers.toReversed().map(appended), ['upperdir', upper], ['workdir', work]] }, links: [] };

  // The layer that comes first in the list is the topmost to the kernel.
  const names = layers.map((_, index) => String(index)).toReversed();
  const writable = [
    ['upperdir', 'upper'],
    ['workdir', 'work'],
  ] as const;
  const lower = features.overlayLowerdirAppend ? names.map(appended) : ([['lowerdir', names.join(':')]] as const);
  if (!features.overlayLowerdirAppend) checkMountData('overlay', layers, [...lower, ...writable].map((option) => option.join('=')).join(','));
  return {
    request: { ...mount, directory: overlayLinksDir(scratch), options: [...lower, ...writable] },
    links: [...layers.map((layer, index) => [String(index), layer] as const), ['upper', upper], ['work', work]],
  };
}

function appended(layer: string): readonly ['lowerdir+', string] {
  return ['lowerdir+', layer];
}

function fitsOneValue(path: string): boolean {
  return Buffer.byteLength(path) <= LIMITS.mountOptionValueBytes;
}
