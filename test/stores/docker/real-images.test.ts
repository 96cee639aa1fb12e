import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LayerForm } from '../../../src/paths/docker-store.ts';
import { dockerArchive, imagesDirectory, missingImages, ociImage } from '../../support/images.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { openStore, transientDirectories } from './open-store.ts';

const NAMES = ['tiny', 'base', 'app', 'app-zstd', 'deep', 'wide'];
const missing = missingImages(NAMES);
const describeImages = missing === undefined ? describe : describe.skip;
const forms: readonly LayerForm[] = process.getuid?.() === 0 ? ['plain', 'overlay'] : ['plain'];

describeImages(`real images${missing === undefined ? '' : ` [SKIPPED: ${missing}]`}`, () => {
  it.each(forms)('come whole from layouts and archives, in the %s form, sharing their layers', async (form) => {
    const root = temporaryDirectory('store');
    const { store, close } = await openStore(root);
    onTestFinished(close);
    const byConfig = new Map<string, string>();
    const wanted = NAMES.flatMap((name) => [
      ociImage(name),
      ...(existsSync(join(imagesDirectory(), 'docker', `${name}.tar`)) ? [dockerArchive(name)] : []),
    ]);
    for (const name of wanted) {
      const image = await store.get(name, { form });
      expect(image.layers.length).toBe((image.config['rootfs'] as { diff_ids: string[] }).diff_ids.length);
      expect(image.layers.every(({ path }) => readdirSync(path).length > 0)).toBe(true);
      // The same image has the same layers, wherever it comes from and however they are packed.
      const layers = image.layers.map(({ path }) => path).join();
      expect(byConfig.get(image.configDigest) ?? layers).toBe(layers);
      byConfig.set(image.configDigest, layers);
    }
    expect(byConfig.size).toBe(NAMES.length - 1);
    expect(transientDirectories(root).flatMap((directory) => readdirSync(directory))).toEqual([]);
    const recovery = await store.recover();
    expect(recovery).toMatchObject({ swept: [], quarantined: [], images: wanted.length });
    const before = (await store.list()).map((image) => image.bytes);
    expect(Math.min(...before)).toBeGreaterThan(500_000);
  });
});
