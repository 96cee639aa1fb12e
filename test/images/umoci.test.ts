import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createEngine, type BackendName } from '../../src/index.ts';
import { dockerArchive, imagesDirectory, missingImages, ociImage } from '../support/images.ts';
import { describeWith } from '../support/requirements.ts';
import { makeFreshFilesystem, type Workplace } from '../support/fresh-filesystem.ts';
import { diffTrees, readTree, showDifference, type Tree } from '../support/tree.ts';
import { emptyXattr, explain, impliedParents, linksAcrossLayers, parentsTouched, type Exception } from './exceptions.ts';

interface Case {
  readonly image: string;
  readonly backends: Readonly<Partial<Record<BackendName, readonly Exception[]>>>;
}

const CASES: readonly Case[] = [
  { image: 'tiny', backends: { overlay: [], copy: [], bind: [] } },
  { image: 'base', backends: { overlay: [], copy: [], bind: [] } },
  { image: 'deep', backends: { overlay: [], copy: [] } },
  { image: 'wide', backends: { overlay: [], copy: [], bind: [] } },
  {
    image: 'app',
    backends: {
      overlay: [impliedParents, parentsTouched, linksAcrossLayers, emptyXattr],
      copy: [impliedParents, parentsTouched, emptyXattr],
    },
  },
];

/** Attributes that overlayfs keeps for itself never show in a merged tree; none may be left behind by copy either, so nothing is ignored. */
const missing = missingImages([...CASES.map(({ image }) => image), 'app-zstd']);

if (missing !== undefined) it.skip(`real images against umoci [SKIPPED: ${missing}]`, () => undefined);
else
  for (const { image, backends } of CASES) {
    describeWith(['umoci'], `${image} against what umoci unpacks`, () => {
      let place: Workplace;
      let reference: Tree;
      /** The tree by overlay from the OCI layout: what the other sources of the same image must give, to the last bit. */
      let ours: Tree | undefined;

      beforeAll(() => {
        place = makeFreshFilesystem(`images-${image}`);
        execFileSync('umoci', ['raw', 'unpack', '--image', `${join(imagesDirectory(), 'oci', image)}:latest`, join(place.directory, 'umoci')], {
          stdio: 'pipe',
        });
        reference = readTree(join(place.directory, 'umoci'));
      });
      afterAll(() => place?.close());

      async function treeOf(source: string, backend: BackendName, store = 'root'): Promise<Tree> {
        const engine = await createEngine({ root: join(place.directory, store), backend });
        try {
          await engine.recover();
          const { rootfs } = await engine.provision('container', source);
          const tree = readTree(rootfs);
          expect(await engine.destroy('container')).toBe(true);
          expect(existsSync(rootfs)).toBe(false);
          return tree;
        } finally {
          await engine.close();
        }
      }

      for (const [backend, exceptions] of Object.entries(backends) as Array<[BackendName, readonly Exception[]]>) {
        it(`${backend}: the same tree${exceptions.length > 0 ? `, but for ${exceptions.map(({ name }) => name).join('; ')}` : ''}`, async () => {
          const tree = await treeOf(ociImage(image), backend);
          if (backend === 'overlay') ours = tree;
          const { unexplained, unused } = explain(diffTrees(reference, tree), exceptions);
          expect(unexplained.slice(0, 40).map(showDifference)).toEqual([]);
          expect(unused, 'exceptions that explain nothing must go').toEqual([]);
        });
      }

      const sources: Array<[title: string, source: string]> = [['docker-archive', dockerArchive(image)]];
      if (image === 'app') sources.push(['zstd layers', ociImage('app-zstd')]);
      it.each(sources)('%s: the same tree as from the OCI layout with gzip layers', async (_, source) => {
        ours ??= await treeOf(ociImage(image), 'overlay');
        // In a root of its own: nothing that the first source brought in may be of help to this one.
        const { unexplained } = explain(diffTrees(ours, await treeOf(source, 'overlay', 'another root')), []);
        expect(unexplained.slice(0, 40).map(showDifference)).toEqual([]);
      });
    });
  }
