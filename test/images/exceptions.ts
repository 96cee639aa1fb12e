import type { TreeDifference } from '../support/tree.ts';

/** A difference between our tree and the reference's that is right, with the reason. It covers as little as it can. */
export interface Exception {
  readonly name: string;
  readonly reason: string;
  readonly covers: (difference: TreeDifference) => boolean;
}

/** Splits differences into those that an exception explains and the rest, and tells which exceptions were of no use. */
export function explain(
  differences: readonly TreeDifference[],
  exceptions: readonly Exception[],
): { unexplained: TreeDifference[]; unused: string[] } {
  const used = new Set<Exception>();
  const unexplained = differences.filter((difference) => {
    const exception = exceptions.find(({ covers }) => covers(difference));
    if (exception !== undefined) used.add(exception);
    return exception === undefined;
  });
  return { unexplained, unused: exceptions.filter((exception) => !used.has(exception)).map(({ name }) => name) };
}

/** Directories that stand in a path of `app` but have no entry of their own. */
export const impliedParents: Exception = {
  name: 'time of implied parents',
  reason: 'the layer has no entry for these directories, so the image says nothing of their time',
  covers: ({ path, field }) => /^opt\/implied(\/parent(\/dirs)?)?$/.test(path) && field === 'modified',
};

/** `opt` of `app`: layer 2 has an entry for it, layers 4 and 5 only make directories in it. */
export const parentsTouched: Exception = {
  name: 'time of a directory that a later layer adds names to',
  reason: 'the image says once what it is; the reference lets it become the moment of unpacking when a later layer makes something in it',
  covers: ({ path, field, actual }) => path === 'opt' && field === 'modified' && actual === '1735689600000000000',
};

/** Two of three names of one inode are hidden by a higher layer. */
export const linksAcrossLayers: Exception = {
  name: 'link count of hard links hidden by a higher layer',
  reason: 'overlayfs shows the inode of the lower layer, which still has all three links there; two of them are covered by layer 6',
  covers: ({ path, field, expected, actual }) => path === 'opt/meta/sub/hard2' && field === 'linkCount' && expected === '1' && actual === '3',
};

/** user.empty of opt/meta/user-xattr. */
export const emptyXattr: Exception = {
  name: 'an extended attribute with an empty value',
  reason: 'the record "SCHILY.xattr.user.empty=" sets it to nothing for GNU tar and for us; the reference takes it for no record at all',
  covers: ({ path, field, expected, actual }) => path === 'opt/meta/user-xattr' && field === 'xattrs' && actual === `user.empty=\n${expected}`,
};
