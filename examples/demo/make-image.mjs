// Makes the demo image, an OCI layout of a few kilobytes: `node examples/demo/make-image.mjs [DIRECTORY]`. The same bytes on every
// machine and every Node: fixed times and owners, and gzip without compression, because compressors differ between versions of zlib.
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { crc32 } from 'node:zlib';

const MODIFIED = 1735689600; // 2025-01-01T00:00:00Z
const MEDIA = 'application/vnd.oci.image.';

/** Layer by layer, lowest first: what each one is for, and its entries. */
export const LAYERS = [
  {
    purpose: 'a base system in miniature, with a hard link and a symlink',
    entries: [
      directory('etc/'),
      file('etc/os-release', 'ID=rootwright-demo\nPRETTY_NAME="rootwright demo image"\n'),
      file('etc/hostname', 'demo\n'),
      directory('usr/'),
      directory('usr/bin/'),
      file('usr/bin/greet-1.0', '#!/bin/sh\necho "hello from $(cat /etc/hostname)"\n', 0o755),
      hardLink('usr/bin/greet', 'usr/bin/greet-1.0', 0o755),
      directory('usr/share/'),
      directory('usr/share/doc/'),
      file('usr/share/doc/README', 'The demo image of rootwright.\n'),
      file('usr/share/doc/LICENSE', 'This file goes: the next layer has a whiteout for it.\n'),
      directory('var/'),
      directory('var/cache/'),
      file('var/cache/index', 'This file goes: a later layer makes var/cache opaque.\n'),
      directory('var/cache/old/'),
      file('var/cache/old/entry', 'This one too, with its directory.\n'),
      symlink('bin', 'usr/bin'),
    ],
  },
  {
    purpose: 'an application; a whiteout removes usr/share/doc/LICENSE',
    entries: [
      file('etc/app.conf', 'port=80\n'),
      directory('opt/'),
      directory('opt/app/'),
      file('opt/app/main', '#!/bin/sh\nexec greet\n', 0o755),
      file('usr/share/doc/.wh.LICENSE', ''),
    ],
  },
  {
    purpose: 'an opaque var/cache: nothing of it from below shows',
    entries: [directory('var/cache/'), file('var/cache/.wh..wh..opq', ''), file('var/cache/fresh', 'The only entry of var/cache.\n')],
  },
  {
    purpose: 'configuration: etc/app.conf replaced',
    entries: [file('etc/app.conf', 'port=8080\n')],
  },
];

/** Writes the OCI layout to `target`, replacing what lies there. */
export function makeImage(target) {
  rmSync(target, { recursive: true, force: true });
  const blobs = join(target, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });

  const layers = LAYERS.map(({ entries }) => {
    const tar = makeTar(entries);
    return { diffId: digestOf(tar), descriptor: put(`${MEDIA}layer.v1.tar+gzip`, gzipStored(tar)) };
  });
  const config = putJson(`${MEDIA}config.v1+json`, {
    created: new Date(MODIFIED * 1000).toISOString(),
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['PATH=/usr/bin'], Cmd: ['/opt/app/main'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: LAYERS.map(({ purpose }) => ({ created: new Date(MODIFIED * 1000).toISOString(), comment: purpose })),
  });
  const manifest = putJson(`${MEDIA}manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${MEDIA}manifest.v1+json`,
    config,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  writeFileSync(
    join(target, 'index.json'),
    json({
      schemaVersion: 2,
      mediaType: `${MEDIA}index.v1+json`,
      manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }],
    }),
  );
  writeFileSync(join(target, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n');

  function put(mediaType, bytes) {
    const digest = digestOf(bytes);
    writeFileSync(join(blobs, digest.slice('sha256:'.length)), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  function putJson(mediaType, value) {
    return put(mediaType, Buffer.from(json(value)));
  }
}

function directory(name) {
  return { name, type: '5', mode: 0o755, content: '', target: '' };
}

function file(name, content, mode = 0o644) {
  return { name, type: '0', mode, content, target: '' };
}

function hardLink(name, target, mode) {
  return { name, type: '1', mode, content: '', target };
}

function symlink(name, target) {
  return { name, type: '2', mode: 0o777, content: '', target };
}

function makeTar(entries) {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content);
    return [header(entry, content.length), content, Buffer.alloc(-content.length & 511)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** One ustar header (POSIX pax(1), "ustar Interchange Format"). */
function header({ name, type, mode, target }, size) {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write(octal(mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(MODIFIED, 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write(target, 157);
  block.write('ustar\u000000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\u0000 `, 148);
  return block;
}

function octal(value, digits) {
  return value.toString(8).padStart(digits, '0');
}

/** A gzip member (RFC 1952) whose deflate blocks are all "stored" (RFC 1951, 3.2.4). */
function gzipStored(bytes) {
  const parts = [Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])];
  for (let offset = 0; offset < bytes.length; offset += 0xffff) {
    const chunk = bytes.subarray(offset, offset + 0xffff);
    const head = Buffer.alloc(5);
    head.writeUInt8(offset + chunk.length === bytes.length ? 1 : 0, 0);
    head.writeUInt16LE(chunk.length, 1);
    head.writeUInt16LE(~chunk.length & 0xffff, 3);
    parts.push(head, chunk);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([...parts, trailer]);
}

function digestOf(bytes) {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function json(value) {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  makeImage(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), 'image'));
