import { hash } from 'node:crypto';
import { RootwrightError } from '../errors.ts';
import { LIMITS } from '../limits.ts';

/** One layer that a rootfs uses: its diff id, and the directory that the backend was given. */
export interface CheckpointedLayer {
  readonly id: string;
  readonly path: string;
}

/** One rootfs of a container, as its checkpoint names it. Digests and image are '' where recovery had to reconstruct the entry. */
export interface CheckpointedRootfs {
  readonly id: string;
  readonly backend: string;
  /** The normalised image name. */
  readonly image: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** Lowest first. */
  readonly layers: readonly CheckpointedLayer[];
  readonly ephemeralVolumes?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/**
 * The `layers` file of a container: every rootfs it has or is about to have, with the layers each uses (Mesos: ContainerLayers). Durable
 * before the first mount, so that prune never takes a layer from under a rootfs, whatever happens in between.
 */
export interface Checkpoint {
  readonly container: string;
  readonly rootfses: readonly CheckpointedRootfs[];
}

/** The file's bytes: one line of JSON, `{"version":1,"checksum":"sha256:…","body":{…}}`, the checksum being that of the body's bytes. */
export function encodeCheckpoint(checkpoint: Checkpoint): Buffer {
  const body = JSON.stringify({
    container: checkpoint.container,
    rootfses: checkpoint.rootfses.map((rootfs) => ({
      id: rootfs.id,
      backend: rootfs.backend,
      image: rootfs.image,
      manifestDigest: rootfs.manifestDigest,
      configDigest: rootfs.configDigest,
      layers: rootfs.layers.map(({ id, path }) => ({ id, path })),
      ...(rootfs.ephemeralVolumes === undefined ? {} : { ephemeralVolumes: rootfs.ephemeralVolumes }),
      createdAt: rootfs.createdAt,
    })),
  });
  return Buffer.from(`${HEAD}${sha256(body)}${MIDDLE}${body}${TAIL}`);
}

/**
 * What {@link encodeCheckpoint} wrote. Anything else, were it one flipped bit or one missing byte, fails with CHECKPOINT_CORRUPT, which
 * names `path` and what is wrong.
 */
export function decodeCheckpoint(bytes: Buffer, path: string): Checkpoint {
  if (bytes.length === 0) throw corrupt(path, 'is empty');
  if (bytes.length > LIMITS.checkpointBytes) throw corrupt(path, `has ${bytes.length} bytes, at most ${LIMITS.checkpointBytes} are allowed`);
  const head = bytes.toString('latin1', 0, BODY_START);
  if (!head.startsWith(HEAD)) throw corrupt(path, `starts with ${JSON.stringify(head.slice(0, HEAD.length))} instead of ${JSON.stringify(HEAD)}`);
  const checksum = head.slice(HEAD.length, HEAD.length + CHECKSUM_LENGTH);
  if (head.slice(HEAD.length + CHECKSUM_LENGTH) !== MIDDLE) throw corrupt(path, 'has a damaged header');
  const bodyEnd = bytes.length - TAIL.length;
  if (bodyEnd < BODY_START || bytes.toString('latin1', bodyEnd) !== TAIL) throw corrupt(path, `is cut off after ${bytes.length} bytes`);
  const body = bytes.subarray(BODY_START, bodyEnd);
  const found = sha256(body);
  if (found !== checksum) throw corrupt(path, `has the checksum ${checksum}, its body has ${found}`, { expected: checksum, found });
  return checkShape(parse(body, path), path);
}

/** Every id that protects something from prune: diff ids and config digests of all rootfses. */
export function* protectedIds(rootfses: Iterable<Pick<CheckpointedRootfs, 'layers' | 'configDigest'>>): Generator<string> {
  for (const { layers, configDigest } of rootfses) {
    for (const layer of layers) yield layer.id;
    if (configDigest !== '') yield configDigest;
  }
}

const HEAD = '{"version":1,"checksum":"';
const MIDDLE = '","body":';
const TAIL = '}\n';
const CHECKSUM_LENGTH = 'sha256:'.length + 64;
const BODY_START = HEAD.length + CHECKSUM_LENGTH + MIDDLE.length;

function sha256(data: string | Buffer): string {
  return `sha256:${hash('sha256', data, 'hex')}`;
}

function parse(body: Buffer, path: string): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new RootwrightError('CHECKPOINT_CORRUPT', `the checkpoint ${path} holds no JSON: ${String(cause)}`, { cause, details: { path } });
  }
}

/** The checksum held, so this refuses what another program, or another version, wrote with care. */
function checkShape(body: unknown, path: string): Checkpoint {
  const { container, rootfses } = fields(body, path, 'body', ['container', 'rootfses']);
  const checkpoint: Checkpoint = {
    container: text(container, path, 'body.container'),
    rootfses: list(rootfses, path, 'body.rootfses').map((item, index) => rootfsOf(item, path, `body.rootfses[${index}]`)),
  };
  const ids = new Set(checkpoint.rootfses.map(({ id }) => id));
  if (ids.size !== checkpoint.rootfses.length) throw corrupt(path, 'names a rootfs id twice');
  return checkpoint;
}

function rootfsOf(value: unknown, path: string, where: string): CheckpointedRootfs {
  const names = ['id', 'backend', 'image', 'manifestDigest', 'configDigest', 'layers', 'createdAt'];
  const rootfs = fields(value, path, where, names, ['ephemeralVolumes']);
  const { createdAt, ephemeralVolumes } = rootfs;
  if (typeof createdAt !== 'number' || !Number.isSafeInteger(createdAt)) throw corrupt(path, `has no time at ${where}.createdAt`);
  return {
    id: fileName(rootfs['id'], path, `${where}.id`),
    backend: fileName(rootfs['backend'], path, `${where}.backend`),
    image: text(rootfs['image'], path, `${where}.image`),
    manifestDigest: text(rootfs['manifestDigest'], path, `${where}.manifestDigest`),
    configDigest: text(rootfs['configDigest'], path, `${where}.configDigest`),
    layers: list(rootfs['layers'], path, `${where}.layers`).map((item, index) => {
      const layer = fields(item, path, `${where}.layers[${index}]`, ['id', 'path']);
      return { id: text(layer['id'], path, `${where}.layers[${index}].id`), path: text(layer['path'], path, `${where}.layers[${index}].path`) };
    }),
    ...(ephemeralVolumes === undefined
      ? {}
      : { ephemeralVolumes: list(ephemeralVolumes, path, `${where}.ephemeralVolumes`).map((item) => text(item, path, where)) }),
    createdAt,
  };
}

function fields(value: unknown, path: string, where: string, required: readonly string[], optional: readonly string[] = []): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw corrupt(path, `has no object at ${where}`);
  for (const name of required) if (!Object.hasOwn(value, name)) throw corrupt(path, `has no ${where}.${name}`);
  for (const name of Object.keys(value))
    if (!required.includes(name) && !optional.includes(name)) throw corrupt(path, `has the unknown field ${where}.${name}`);
  return value as Record<string, unknown>;
}

function list(value: unknown, path: string, where: string): unknown[] {
  if (!Array.isArray(value)) throw corrupt(path, `has no list at ${where}`);
  return value;
}

function text(value: unknown, path: string, where: string): string {
  if (typeof value !== 'string') throw corrupt(path, `has no text at ${where}`);
  return value;
}

/** Becomes part of a path below the container's directory, so it must not lead out of it. */
function fileName(value: unknown, path: string, where: string): string {
  const name = text(value, path, where);
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name))
    throw corrupt(path, `has ${JSON.stringify(name)} at ${where}, which is no file name`);
  return name;
}

function corrupt(path: string, why: string, details: Readonly<Record<string, unknown>> = {}): RootwrightError {
  return new RootwrightError('CHECKPOINT_CORRUPT', `the checkpoint ${path} ${why}; run recover, which sets it aside`, {
    details: { path, ...details },
  });
}
