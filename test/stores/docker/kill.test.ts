import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { layerFormDir, layersDir, stagingDir } from '../../../src/paths/docker-store.ts';
import type { ImageInfo } from '../../../src/stores/store.ts';
import { writeOciLayout, type LayerEntry } from '../../support/image-builder.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { readTree } from '../../support/tree.ts';
import { openStore } from './open-store.ts';

/** Six layers of some files each, so that a pull has a middle. */
function writeImage(): string {
  const directory = temporaryDirectory('images');
  const layers = Array.from({ length: 6 }, (_unused, at) => {
    const entries: LayerEntry[] = Array.from({ length: 150 }, (_none, file) => ({
      path: `layer${at}/${file % 20}/file${file}`,
      content: `${at} ${file} `.repeat(100),
    }));
    return { entries };
  });
  writeOciLayout(directory, [{ layers }]);
  return `oci:${directory}`;
}

/** Starts a pull in a process of its own, and kills that once `when` holds, or `events` progress events have come. */
async function killedPull(
  root: string,
  image: string,
  kill: { readonly events?: number; readonly when?: () => boolean },
): Promise<NodeJS.Signals | null> {
  const openStoreUrl = new URL('./open-store.js', import.meta.url).href;
  const program = `
    const { openStore } = await import(${JSON.stringify(openStoreUrl)});
    const { store, close } = await openStore(${JSON.stringify(root)});
    await store.get(${JSON.stringify(image)}, { form: 'plain', onProgress: () => process.stdout.write('.') });
    await close();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  onTestFinished(() => void child.kill('SIGKILL'));
  let events = 0;
  child.stdout.on('data', (dots: Buffer) => {
    events += dots.length;
    if (kill.events !== undefined && events >= kill.events) child.kill('SIGKILL');
  });
  const timer = setInterval(() => kill.when?.() === true && child.kill('SIGKILL'), 1);
  const signal = await ended;
  clearInterval(timer);
  return signal;
}

const trees = (image: ImageInfo): unknown[] => image.layers.map(({ path }) => readTree(path));

describe('a pull that is killed with SIGKILL', () => {
  const committed = (root: string): string[] => {
    const store = join(root, 'store', 'docker');
    return existsSync(layersDir(store)) ? readdirSync(layersDir(store)).filter((id) => existsSync(layerFormDir(store, id, 'plain'))) : [];
  };
  const staged = (root: string): number => {
    const staging = stagingDir(join(root, 'store', 'docker'));
    return existsSync(staging) ? readdirSync(staging).length : 0;
  };

  it.each([
    ['when it has just begun to unpack', (root: string) => ({ when: () => staged(root) > 0 })],
    ['after some progress', () => ({ events: 9 })],
    ['after more progress', () => ({ events: 14 })],
    ['when the first layer is in its place', (root: string) => ({ when: () => committed(root).length > 0 })],
    ['when half the layers are', (root: string) => ({ when: () => committed(root).length > 2 })],
  ])('%s leaves whole layers only, and recover and the next pull need no hand', async (_what, kill) => {
    const [root, image] = [temporaryDirectory('store'), writeImage()];
    const expected = await openStore(temporaryDirectory('expected'));
    onTestFinished(expected.close);
    const whole = await expected.store.get(image, { form: 'plain' });
    const byId = new Map(whole.layers.map(({ id, path }) => [id, path]));

    expect(await killedPull(root, image, kill(root))).toBe('SIGKILL');
    const left = committed(root);
    const { store, directory, close } = await openStore(root);
    onTestFinished(close);
    const recovery = await store.recover();
    expect(recovery).toMatchObject({ layers: left.length, quarantined: [] });
    expect([readdirSync(stagingDir(directory)), readdirSync(layersDir(directory)).toSorted()]).toEqual([[], left.toSorted()]);
    for (const id of left) expect(readTree(layerFormDir(directory, id, 'plain'))).toEqual(readTree(byId.get(id) ?? ''));
    expect(trees(await store.get(image, { form: 'plain' }))).toEqual(trees(whole));
  });
});
