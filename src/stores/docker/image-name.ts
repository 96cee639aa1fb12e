import { realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { RootwrightError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { familiarReference } from './docker-reference.ts';

/** Where an image is, and which of those that are there. Made by {@link parseImageName} only. */
export interface ImageName {
  readonly transport: Transport;
  /** The layout directory or the archive file: absolute, without symlinks as far as it exists. */
  readonly path: string;
  /** A tag (oci), a `name:tag` in its short form (docker-archive), or `@N`; absent: the only image there. */
  readonly reference?: string;
  /** The canonical name, `transport:path[:reference]`: two names that mean the same image give the same text. */
  readonly text: string;
}

export type Transport = 'oci' | 'docker-archive';

/**
 * Parses an image's name with its transport as skopeo has it: `oci:DIR[:tag]`, `docker-archive:FILE[:ref]`. `ref` is `name[:tag]` or
 * `@N`, the Nth image of the archive from 0; `@N` works for `oci:` too, with the Nth entry of the index. Relative paths start from `cwd`.
 *
 * The path ends at the first ':', as skopeo has it, and a tag may hold more of them. A path that itself holds ':' can be named all the
 * same: where nothing exists at the path before the first ':', the shortest longer path that exists is taken.
 *
 * Fails with INVALID_IMAGE_NAME, and IMAGE_UNSUPPORTED for the transports to come (`docker://`, `appc:`). The image need not exist.
 */
export function parseImageName(text: string, cwd: string = process.cwd()): ImageName {
  const colon = text.indexOf(':');
  const transport = text.slice(0, Math.max(colon, 0));
  if (transport === 'docker' || transport === 'appc')
    throw new RootwrightError('IMAGE_UNSUPPORTED', `${JSON.stringify(text)}: the transport '${transport}:' is still to come; ${KNOWN}`, {
      details: { image: text },
    });
  if (transport !== 'oci' && transport !== 'docker-archive') throw invalid(text, `names no known transport; ${KNOWN}`);
  const rest = text.slice(colon + 1);
  if (rest.includes('\0')) throw invalid(text, 'holds a NUL character');
  const { path, reference } = splitPath(rest, cwd);
  if (path === '') throw invalid(text, `has no path after '${transport}:'`);
  const absolute = canonicalPath(resolve(cwd, path));
  if (Buffer.byteLength(absolute) > LIMITS.pathBytes) throw invalid(text, `has a path of more than ${LIMITS.pathBytes} bytes`);
  const canonical = reference === undefined ? undefined : canonicalReference(transport, reference, text);
  return {
    transport,
    path: absolute,
    ...(canonical === undefined ? {} : { reference: canonical }),
    text: canonical === undefined ? `${transport}:${absolute}` : `${transport}:${absolute}:${canonical}`,
  };
}

/** Whether `text` has a transport that the docker store serves, now or once it is there (`docker://`). */
export function hasDockerTransport(text: string): boolean {
  return /^(oci|docker-archive|docker):/.test(text);
}

/** The N of the reference `@N`, undefined for any other. */
export function sourceIndex(reference: string | undefined): number | undefined {
  return reference?.startsWith('@') === true ? Number(reference.slice(1)) : undefined;
}

const KNOWN = "use 'oci:DIR[:tag]' or 'docker-archive:FILE[:name:tag]' ('docker://' and 'appc:' are to come)";

function splitPath(rest: string, cwd: string): { path: string; reference?: string } {
  const first = rest.indexOf(':');
  if (first < 0) return { path: rest };
  for (let colon = first; colon >= 0; colon = rest.indexOf(':', colon + 1)) {
    const path = rest.slice(0, colon);
    if (path !== '' && exists(resolve(cwd, path))) return { path, reference: rest.slice(colon + 1) };
  }
  if (exists(resolve(cwd, rest))) return { path: rest };
  return { path: rest.slice(0, first), reference: rest.slice(first + 1) };
}

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** Symlinks resolved as deep as the path exists, so that an image that is not there yet (or no more) keeps one name too. */
function canonicalPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(canonicalPath(parent), path.slice(parent === '/' ? 1 : parent.length + 1));
  }
}

function canonicalReference(transport: Transport, reference: string, text: string): string {
  if (reference === '') throw invalid(text, "ends with ':' and no reference");
  if (reference.startsWith('@')) {
    if (!/^@(0|[1-9][0-9]{0,8})$/.test(reference)) throw invalid(text, `has the reference ${JSON.stringify(reference)}; write '@N', N from 0`);
    return reference;
  }
  if (transport === 'docker-archive') {
    const familiar = familiarReference(reference);
    if (familiar === undefined) throw invalid(text, `has the reference ${JSON.stringify(reference)}; write 'name:tag' or '@N'`);
    return familiar;
  }
  // image-spec annotations.md, org.opencontainers.image.ref.name: alphanum, then - . _ : @ / + between alphanums.
  if (!/^[A-Za-z0-9]+([-._:@/+]+[A-Za-z0-9]+|--[A-Za-z0-9]+)*$/.test(reference))
    throw invalid(text, `has the tag ${JSON.stringify(reference)}, which no image can have`);
  return reference;
}

function invalid(text: string, why: string): RootwrightError {
  return new RootwrightError('INVALID_IMAGE_NAME', `the image name ${JSON.stringify(text)} ${why}`, { details: { image: text } });
}
