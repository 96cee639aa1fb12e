import type { ByteString } from './byte-string.ts';
import { layerError, type LayerPlace } from './layer-error.ts';
import { LIMITS } from '../../limits.ts';

/** The longest name of one directory entry that Linux file systems take, in bytes. */
const COMPONENT_BYTES = 255;

/**
 * The path of an entry below the layer's root: without leading './', doubled slashes, '.' components and a slash at the end; '' is the
 * root itself. The same for the target of a hard link. Fails with LAYER_UNSAFE for an empty or absolute name, one with a '..' component or
 * a NUL; LAYER_INVALID where a component or the whole is longer than a path can be.
 */
export function normalizeEntryName(name: ByteString, place: LayerPlace): ByteString {
  if (PLAIN.test(name) && name.length <= COMPONENT_BYTES) return name;
  if (name === '') throw layerError('LAYER_UNSAFE', 'an empty name', place);
  if (name.includes('\0')) throw layerError('LAYER_UNSAFE', 'a name with a NUL byte', place);
  if (name.startsWith('/')) throw layerError('LAYER_UNSAFE', 'an absolute name; names in a layer are relative to its root', place);
  const components = name.split('/').filter((component) => component !== '' && component !== '.');
  for (const component of components) {
    if (component === '..') throw layerError('LAYER_UNSAFE', "a name with a '..' component", place);
    if (component.length > COMPONENT_BYTES) throw layerError('LAYER_INVALID', `a name component of more than ${COMPONENT_BYTES} bytes`, place);
  }
  const path = components.join('/');
  if (path.length > LIMITS.pathBytes) throw layerError('LAYER_INVALID', `a path of more than ${LIMITS.pathBytes} bytes`, place);
  return path;
}

/** The directory that holds `path`; '' for the root, also for what lies in it. */
export function parentOfPath(path: ByteString): ByteString {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

/** The last component. */
export function nameOfPath(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Components that begin with neither '.' nor '/', one slash between them, none at the end: nothing to do, as for nearly all names. */
const PLAIN = /^(?:[^./\0][^/\0]*\/)*[^./\0][^/\0]*$/;
