import { z } from 'zod';
import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { parseDigest, type Digest } from './digest.ts';
import { kindOf } from './media-types.ts';

/** A descriptor of OCI or Docker. Unknown fields survive, here and in all that follows. */
export type Descriptor = z.infer<typeof DescriptorSchema>;
/** OCI index or Docker manifest list. */
export type ImageIndex = z.infer<typeof IndexSchema>;
/** OCI manifest or Docker schema 2 manifest of an image. */
export type ImageManifest = z.infer<typeof ManifestSchema>;
/** As far as a store reads it. */
export type ImageConfig = z.infer<typeof ConfigSchema>;
/** `manifest.json` of a docker-archive: one entry an image. */
export type ArchiveManifest = z.infer<typeof ArchiveManifestSchema>;

/** Parses an index. `where` names it in messages, here and in all that follows. Fails with IMAGE_INVALID, IMAGE_UNSUPPORTED. */
export function parseIndex(bytes: Buffer, where: string): ImageIndex {
  const json = parseJson(bytes, where);
  // CVE-2021-41190: a document must not pass for both.
  refuseFields(json, ['layers', 'config'], 'an index', where);
  return check(IndexSchema, json, where);
}

/** Parses the manifest of an image. Fails with IMAGE_INVALID, IMAGE_UNSUPPORTED for an artifact or an unknown layer type, LIMIT_EXCEEDED. */
export function parseManifest(bytes: Buffer, where: string): ImageManifest {
  const json = parseJson(bytes, where);
  if (isObject(json) && json['schemaVersion'] === 1) throw unsupported(where, 'Docker schema 1 manifests are not supported; push the image again');
  refuseFields(json, ['manifests'], 'a manifest', where);
  const manifest = check(ManifestSchema, json, where);
  if (manifest.artifactType !== undefined || kindOf(manifest.config.mediaType)?.kind !== 'config')
    throw unsupported(where, `it is an artifact (${manifest.artifactType ?? manifest.config.mediaType}), not an image`);
  for (const [at, layer] of manifest.layers.entries())
    if (kindOf(layer.mediaType)?.kind !== 'layer')
      throw unsupported(where, `layers[${at}] has the media type ${JSON.stringify(layer.mediaType)}, which is not supported`);
  limitLayers(manifest.layers.length, where);
  return manifest;
}

/** Parses an image config. Fails with IMAGE_INVALID, LIMIT_EXCEEDED. */
export function parseConfig(bytes: Buffer, where: string): ImageConfig {
  const config = check(ConfigSchema, parseJson(bytes, where), where);
  limitLayers(config.rootfs.diff_ids.length, where);
  return config;
}

/** The diff ids of a config that goes with `layers` layers. Fails with IMAGE_INVALID where the numbers differ. */
export function diffIdsFor(config: ImageConfig, layers: number, where: string): Digest[] {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== layers)
    throw new RootwrightError('IMAGE_INVALID', `${where}: rootfs.diff_ids has ${diffIds.length} entries where the manifest has ${layers} layers`, {
      details: { where, path: 'rootfs.diff_ids', expected: layers, found: diffIds.length },
    });
  return diffIds.map((diffId, at) => parseDigest(diffId, `${where}: rootfs.diff_ids[${at}]`));
}

/** Parses `manifest.json` of a docker-archive. Fails with IMAGE_INVALID, LIMIT_EXCEEDED. */
export function parseArchiveManifest(bytes: Buffer, where: string): ArchiveManifest {
  const manifest = check(ArchiveManifestSchema, parseJson(bytes, where), where);
  for (const image of manifest) limitLayers(image.Layers.length, where);
  return manifest;
}

/** Parses `repositories` of a legacy docker-archive: name → tag → v1 id of the top layer. Fails with IMAGE_INVALID. */
export function parseRepositories(bytes: Buffer, where: string): Record<string, Record<string, string>> {
  return check(RepositoriesSchema, parseJson(bytes, where), where);
}

/** Parses `<id>/json` of a legacy docker-archive. Fails with IMAGE_INVALID. */
export function parseV1(bytes: Buffer, where: string): z.infer<typeof V1Schema> {
  return check(V1Schema, parseJson(bytes, where), where);
}

/** Parses the `oci-layout` file. Fails with IMAGE_INVALID, IMAGE_UNSUPPORTED for another major version than 1. */
export function checkLayoutFile(bytes: Buffer, where: string): void {
  const { imageLayoutVersion } = check(LayoutSchema, parseJson(bytes, where), where);
  if (!imageLayoutVersion.startsWith('1.'))
    throw unsupported(where, `the layout version ${JSON.stringify(imageLayoutVersion)} is not supported, 1.0.0 is`);
}

/** An IMAGE_INVALID with the JSON path of what is wrong. */
export function invalidImage(where: string, path: string, why: string): RootwrightError {
  return new RootwrightError('IMAGE_INVALID', `${where}: ${path === '' ? '' : `${path}: `}${why}`, { details: { where, path } });
}

const Size = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const Annotations = z.record(z.string(), z.string());
// null stands for absent: Go writes it for empty slices and maps.
const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const PlatformSchema = z.looseObject({ os: z.string(), architecture: z.string(), variant: optional(z.string()) });

const DescriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: z.string(),
  size: Size,
  annotations: optional(Annotations),
  platform: optional(PlatformSchema),
  artifactType: optional(z.string()),
});

const IndexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: optional(z.string()),
  manifests: z.array(DescriptorSchema),
});

const ManifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: optional(z.string()),
  artifactType: optional(z.string()),
  config: DescriptorSchema,
  layers: z.array(DescriptorSchema),
});

const ConfigSchema = z.looseObject({
  os: optional(z.string()),
  architecture: optional(z.string()),
  variant: optional(z.string()),
  rootfs: z.looseObject({
    type: z.literal('layers'),
    diff_ids: z
      .array(z.string())
      .nullable()
      .transform((ids) => ids ?? []),
  }),
});

const ArchiveManifestSchema = z.array(
  z.looseObject({
    Config: z.string(),
    RepoTags: optional(z.array(z.string())),
    Layers: z
      .array(z.string())
      .nullable()
      .transform((names) => names ?? []),
  }),
);

const RepositoriesSchema = z.record(z.string(), z.record(z.string(), z.string()));

const V1Schema = z.looseObject({
  id: optional(z.string()),
  parent: optional(z.string()),
  os: optional(z.string()),
  architecture: optional(z.string()),
});

const LayoutSchema = z.looseObject({ imageLayoutVersion: z.string() });

function check<T extends z.ZodType>(schema: T, json: unknown, where: string): z.infer<T> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalidImage(where, jsonPath(issue?.path ?? []), issue?.message ?? 'is not what it should be');
}

function jsonPath(path: readonly PropertyKey[]): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`)).join('');
}

function parseJson(bytes: Buffer, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RootwrightError('IMAGE_INVALID', `${where}: is not JSON (${reason}); the image is damaged`, { cause: error, details: { where } });
  }
}

function refuseFields(json: unknown, fields: readonly string[], what: string, where: string): void {
  const field = isObject(json) ? fields.find((name) => json[name] !== undefined) : undefined;
  if (field !== undefined) throw invalidImage(where, field, `${what} can't have this field`);
}

function limitLayers(layers: number, where: string): void {
  if (layers <= LIMITS.layersPerRootfs) return;
  throw new RootwrightError('LIMIT_EXCEEDED', `${where}: has ${layers} layers, at most ${LIMITS.layersPerRootfs} are allowed`, {
    details: { where, found: layers, limit: LIMITS.layersPerRootfs },
  });
}

function unsupported(where: string, why: string): RootwrightError {
  return new RootwrightError('IMAGE_UNSUPPORTED', `${where}: ${why}`, { details: { where } });
}

const isObject = (json: unknown): json is Record<string, unknown> => typeof json === 'object' && json !== null && !Array.isArray(json);
