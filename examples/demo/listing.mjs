import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** The names in each layer of an OCI layout's only image, lowest first, read straight from the archives: what the demo compares with. */
export function namesInLayers(layout) {
  const blob = (digest) => readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
  const [{ digest }] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests;
  const manifest = JSON.parse(blob(digest).toString());
  return manifest.layers.map((layer) => namesInTar(gunzipSync(blob(layer.digest))));
}

/** Enough for the demo's own archives: ustar headers, short names. */
function namesInTar(tar) {
  const names = [];
  for (let offset = 0; tar[offset] !== 0; ) {
    const text = (start, end) => tar.toString('latin1', offset + start, offset + end).replace(/\0.*$/s, '');
    names.push(text(0, 100).replace(/\/$/, ''));
    offset += 512 + Math.ceil(Number.parseInt(text(124, 136), 8) / 512) * 512;
  }
  return names;
}

/** The whiteouts of a layer: what each names, and what that hides. */
export function whiteoutsOf(names) {
  return names
    .filter((name) => basename(name).startsWith('.wh.'))
    .map((name) =>
      basename(name) === '.wh..wh..opq'
        ? { marker: name, kind: 'opaque directory', hides: (path) => path.startsWith(`${dirname(name)}/`) && !names.includes(path) }
        : { marker: name, kind: 'whiteout', hides: (path) => path === join(dirname(name), basename(name).slice('.wh.'.length)) },
    );
}

/** The tree below `root`, one line for each entry, as `tree` draws it; symlinks with their targets, files with their link count if above 1. */
export function drawTree(root, indent = '') {
  const names = readdirSync(root).toSorted();
  return names.flatMap((name, index) => {
    const last = index === names.length - 1;
    const path = join(root, name);
    const stat = lstatSync(path);
    const line = `${indent}${last ? '└── ' : '├── '}${name}${noteFor(path, stat)}`;
    return stat.isDirectory() ? [line, ...drawTree(path, `${indent}${last ? '    ' : '│   '}`)] : [line];
  });
}

function noteFor(path, stat) {
  if (stat.isDirectory()) return '/';
  if (stat.isSymbolicLink()) return ` -> ${readlinkSync(path)}`;
  return stat.nlink > 1 ? `  (${stat.nlink} names for inode ${stat.ino})` : '';
}

/** Every path below `root`, relative to it. */
export function pathsBelow(root) {
  return readdirSync(root, { recursive: true }).map(String);
}
