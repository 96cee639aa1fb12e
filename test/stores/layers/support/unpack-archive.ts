import { createHash, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openKernel } from '../../../../src/linux/open-kernel.ts';
import type { LayerForm } from '../../../../src/paths/docker-store.ts';
import { LayerUnpacker, type UnpackedLayer } from '../../../../src/stores/layers/unpack.ts';

export const TAR = 'application/vnd.oci.image.layer.v1.tar';

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

let unpacker: LayerUnpacker | undefined;

/** One for all tests of a file, as in the engine. */
export async function sharedUnpacker(): Promise<LayerUnpacker> {
  unpacker ??= new LayerUnpacker({ kernel: await openKernel() });
  return unpacker;
}

export async function closeSharedUnpacker(): Promise<void> {
  await unpacker?.close();
  unpacker = undefined;
}

/** Unpacks `archive` as a layer into `directory`/layer; digest and diff id are its own. */
export async function unpackArchive(
  archive: Buffer,
  directory: string,
  options: { readonly form?: LayerForm; readonly mediaType?: string; readonly tar?: Buffer; readonly signal?: AbortSignal } = {},
): Promise<{ target: string; result: UnpackedLayer }> {
  const blob = join(directory, `blob-${randomUUID()}`);
  const target = join(directory, 'layer');
  writeFileSync(blob, archive);
  const result = await (await sharedUnpacker()).unpack(
    {
      source: { path: blob, size: archive.length },
      mediaType: options.mediaType ?? TAR,
      digest: sha256(archive),
      diffId: sha256(options.tar ?? archive),
      form: options.form ?? 'plain',
      target,
    },
    options.signal,
  );
  return { target, result };
}
