import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { documentOf, runCli, startCli } from './run-cli.ts';

describe('a signal in the middle of a pull', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s stops the work, leaves nothing half done and ends with status %d', async (signal, expected) => {
    const directory = temporaryDirectory('cli');
    const root = join(directory, 'root');
    const pulling = startCli(['provision', 'web', makeSlowImage(join(directory, 'image')), '--backend', 'copy', '--root', root]);
    // The small layer is there, the large one at work.
    await pulling.said(/^layer [0-9a-f]{12}: unpacked/m);
    pulling.child.kill(signal);
    const { status, stdout, stderr } = await pulling.result;
    expect({ status, stdout }, stderr).toEqual({ status: expected, stdout: '' });
    expect(stderr).toContain('stopping');
    expect(stderr).toContain('[ABORTED]');
    expect(readdirSync(join(root, 'store/docker/staging'))).toEqual([]);
    expect(readdirSync(join(root, 'provisioner/containers'))).toEqual([]);
    expect(documentOf(await runCli(['recover', '--plan', '--json', '--root', root]))).toMatchObject({
      report: { destroyed: [], repaired: [], failed: [] },
    });
  });

  it('a second ^C ends at once, and the next command puts things in order', async () => {
    const directory = temporaryDirectory('cli');
    const root = join(directory, 'root');
    const image = makeSlowImage(join(directory, 'image'));
    const pulling = startCli(['provision', 'web', image, '--backend', 'copy', '--root', root]);
    await pulling.said(/^layer [0-9a-f]{12}: unpacked/m);
    pulling.child.kill('SIGINT');
    pulling.child.kill('SIGINT');
    expect((await pulling.result).status).toBe(130);
    expect((await runCli(['recover', '--root', root])).status).toBe(0);
    expect(readdirSync(join(root, 'store/docker/staging'))).toEqual([]);
    expect(readdirSync(join(root, 'provisioner/containers'))).toEqual([]);
  });
});

/** An OCI layout with a small layer and one of half a gigabyte, which takes seconds; sparse, so that making it takes less. */
function makeSlowImage(layout: string): string {
  const blobs = join(layout, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const layers = [layer(16), layer(2 ** 29)];
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) } };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: json(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })),
  };
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [json(manifest, manifest.mediaType)] }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return `oci:${layout}`;

  function layer(bytes: number): { digest: string; size: number } {
    const path = join(blobs, `layer-${bytes}`);
    const fd = openSync(path, 'w');
    writeSync(fd, header(`file-${bytes}`, bytes));
    const size = 512 + Math.ceil(bytes / 512) * 512 + 1024;
    ftruncateSync(fd, size);
    closeSync(fd);
    const hex = createHash('sha256').update(readFileSync(path)).digest('hex');
    renameSync(path, join(blobs, hex));
    return { digest: `sha256:${hex}`, size };
  }

  function json(value: object, mediaType: string): { mediaType: string; digest: string; size: number } {
    const text = JSON.stringify(value);
    const hex = createHash('sha256').update(text).digest('hex');
    writeFileSync(join(blobs, hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: text.length };
  }
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write('0000644\u00000000000\u00000000000\u0000', 100);
  block.write(size.toString(8).padStart(11, '0'), 124);
  block.write('00000000000\u0000        0', 136);
  block.write('ustar\u000000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148);
  return block;
}
