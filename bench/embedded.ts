import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createEngine, type BackendName, type Engine } from '../src/index.ts';
import type { BulkResult } from './peers/containerd.ts';

/** An engine on `root`, recovered. `known` are the containers that stay: all, where it is not given. */
export async function openEngine(root: string, backend: BackendName = 'overlay', known?: readonly string[]): Promise<Engine> {
  const engine = await createEngine({ root, backend });
  await engine.recover(known === undefined ? {} : { known });
  return engine;
}

/** Provisions `count` containers of `image`, `atOnce` at a time, so that all live at once, then destroys them. The image is present. */
export async function bulk(engine: Engine, image: string, count: number, atOnce: number): Promise<BulkResult> {
  const [provisioned, provision] = await inParallel(count, atOnce, (index) => engine.provision(containerName(index), image));
  const [destroyed, destroy] = await inParallel(count, atOnce, (index) => engine.destroy(containerName(index)));
  return { wall_s: { provision: provisioned, destroy: destroyed }, us: { provision, destroy } };
}

/** Containers of {@link bulk} and of `fill`. */
export const containerName = (index: number): string => `bench-${index}`;
export const containerNames = (count: number): string[] => Array.from({ length: count }, (_, index) => containerName(index));

/** Runs `body` for 0 … count-1, `atOnce` at a time: seconds in all, and microseconds of each. */
export async function inParallel(count: number, atOnce: number, body: (index: number) => Promise<unknown>): Promise<[number, number[]]> {
  const each = Array.from<number>({ length: count });
  let next = 0;
  const start = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      const begun = performance.now();
      await body(index);
      each[index] = (performance.now() - begun) * 1000;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return [(performance.now() - start) / 1000, each];
}

/** The layers of a container's rootfs, top first, behind short names without ':' below `directory`: what `ovl` takes as LOWERS. */
export function lowersOf(layers: readonly string[], directory: string): string {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return layers
    .map((layer, index) => {
      const link = join(directory, `${index}`);
      symlinkSync(layer, link);
      return link;
    })
    .toReversed()
    .join(':');
}
