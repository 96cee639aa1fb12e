import { RootwrightError, throwIfAborted } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { archiveLayer, compressionOfRegion, notInArchive } from './archive-layer.ts';
import type { ArchiveMembers } from './archive-members.ts';
import { digestOf, digestOfRegion, readRegion, type Digest, type FileRegion } from './digest.ts';
import { familiarReference } from './docker-reference.ts';
import { digestOfGunzipped } from './gunzip.ts';
import { sourceIndex } from './image-name.ts';
import type { ImageSource, SourceLayer, SourceRequest } from './image-source.ts';
import { invalidImage, parseConfig, parseRepositories, parseV1 } from './manifest.ts';

/**
 * The image of a legacy docker-archive (`docker save` before version 1.10): `repositories` leads from name and tag to a v1 id,
 * `<id>/json` to its parent, `<id>/layer.tar` is the layer. Like Mesos' ImageTarPuller.
 *
 * Such an archive holds no digest at all. The diff ids are taken by hashing every layer's tar, so that layers are shared with images of
 * any other source, and an image config is made from the v1 json of the top layer: its own fields but those of v1's chain (`id`, `parent`,
 * `container`, `layer_id`, `throwaway`, `Size`), with `rootfs.diff_ids`, and `history` from the chain. Its bytes depend on the archive's content
 * alone, so its digest, which is the manifest digest too, is the same in every pull.
 */
export async function openLegacyArchive(
  members: ArchiveMembers,
  repositories: FileRegion,
  request: SourceRequest,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const where = `${request.name.path}: repositories`;
  const top = selectTop(parseRepositories(await readRegion(repositories, LIMITS.manifestBytes), where), request);
  const chain = await readChain(members, top, request);
  const layers: SourceLayer[] = [];
  for (const { id } of chain) {
    throwIfAborted(signal, 'reading an archive');
    const blob = members.find(`${id}/layer.tar`);
    if (blob === undefined) throw invalidImage(request.name.path, `${id}/layer.tar`, 'is missing');
    // A link to a layer before it leads to the same bytes.
    const twin = layers.find((layer) => layer.blob.offset === blob.offset);
    layers.push(twin ?? (await archiveLayer(await diffIdOf(blob, signal), blob)));
  }
  const configBytes = makeConfig(chain, layers);
  const configDigest = digestOf(configBytes);
  return { manifestDigest: configDigest, configDigest, configBytes, config: parseConfig(configBytes, request.name.text), layers };
}

interface V1Layer {
  readonly id: string;
  readonly json: Readonly<Record<string, unknown>>;
}

function selectTop(repositories: Record<string, Record<string, string>>, request: SourceRequest): string {
  const { reference } = request.name;
  const images = Object.entries(repositories).flatMap(([name, tags]) =>
    Object.entries(tags).map(([tag, id]) => ({ reference: `${name}:${tag}`, id })),
  );
  const ids = new Set(images.map((image) => image.id));
  const at = sourceIndex(reference);
  const [only] = ids;
  const selected =
    reference === undefined
      ? ids.size === 1
        ? only
        : undefined
      : at === undefined
        ? images.find((image) => familiarReference(image.reference) === reference)?.id
        : [...ids][at];
  if (selected === undefined)
    throw notInArchive(
      request,
      images.map((image) => image.reference),
    );
  return selected;
}

/** Lowest first. */
async function readChain(members: ArchiveMembers, top: string, request: SourceRequest): Promise<V1Layer[]> {
  const chain: V1Layer[] = [];
  const seen = new Set<string>();
  for (let id: string | undefined = top; id !== undefined && id !== ''; ) {
    const where = `${request.name.path}: ${id}/json`;
    if (!/^[0-9A-Za-z_.-]+$/.test(id)) throw invalidImage(where, '', 'this is no layer id');
    if (seen.has(id)) throw invalidImage(where, 'parent', 'the parents lead in a circle');
    if (seen.size >= LIMITS.layersPerRootfs)
      throw new RootwrightError('LIMIT_EXCEEDED', `${where}: the image has more than ${LIMITS.layersPerRootfs} layers`, {
        details: { limit: LIMITS.layersPerRootfs },
      });
    seen.add(id);
    const region = members.find(`${id}/json`);
    if (region === undefined) throw invalidImage(where, '', 'is missing');
    const json = parseV1(await readRegion(region, LIMITS.manifestBytes), where);
    chain.unshift({ id, json });
    id = json.parent;
  }
  return chain;
}

async function diffIdOf(blob: FileRegion, signal: AbortSignal | undefined): Promise<Digest> {
  const compression = await compressionOfRegion(blob);
  if (compression === 'none') return digestOfRegion(blob, 'sha256', signal);
  if (compression === 'gzip') return digestOfGunzipped(blob, signal);
  throw new RootwrightError('IMAGE_UNSUPPORTED', `${blob.path}: a layer compressed by zstd in a legacy archive`, { details: { path: blob.path } });
}

function makeConfig(chain: readonly V1Layer[], layers: readonly SourceLayer[]): Buffer {
  const top = chain.at(-1)?.json ?? {};
  const own = Object.entries(top).filter(([key, value]) => value !== undefined && !V1_FIELDS.has(key));
  const config = {
    os: 'linux',
    ...Object.fromEntries(own),
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: chain.map(({ json }) => historyOf(json)),
  };
  return Buffer.from(JSON.stringify(config));
}

function historyOf(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const command = (json['container_config'] as { Cmd?: unknown } | undefined | null)?.Cmd;
  return {
    created: json['created'],
    author: json['author'],
    created_by: Array.isArray(command) ? command.join(' ') : undefined,
    comment: json['comment'],
  };
}

const V1_FIELDS: ReadonlySet<string> = new Set(['id', 'parent', 'container', 'layer_id', 'parent_id', 'throwaway', 'Size', 'rootfs', 'history']);
