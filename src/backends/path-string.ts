/**
 * A path as text with one code unit a byte (latin1): names in an image need not be UTF-8, yet such text joins, compares, serves as a key
 * and travels between threads as cheaply as any string. Made by {@link pathString}, given to the kernel through {@link pathBytes}.
 */
export type PathString = string & { readonly '~pathString': true };

export function pathString(path: string): PathString {
  return Buffer.from(path, 'utf8').toString('latin1') as PathString;
}

export function pathBytes(path: PathString): Buffer {
  return Buffer.from(path, 'latin1');
}

export function joinPath(directory: PathString, name: string): PathString {
  return `${directory}/${name}` as PathString;
}

/** For messages; bytes that are no UTF-8 show as U+FFFD. */
export function showPathString(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8');
}
