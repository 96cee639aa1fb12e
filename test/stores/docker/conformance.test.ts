import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { storeConformance } from '../../conformance/store.ts';
import { writeDockerArchive, writeOciLayout } from '../../support/image-builder.ts';
import { describeRoot } from '../../support/requirements.ts';
import { openStore, transientDirectories } from './open-store.ts';
import { StandInUnpacker } from './stand-in-unpacker.ts';

const kind = { form: 'plain', open: (root: string) => openStore(root), transient: transientDirectories } as const;

storeConformance('docker, OCI layouts', {
  ...kind,
  writeImage: (directory, tag, layers) => {
    rmSync(join(directory, tag), { recursive: true, force: true });
    mkdirSync(join(directory, tag));
    writeOciLayout(join(directory, tag), [{ layers, tag: 'latest' }]);
    return `oci:${join(directory, tag)}:latest`;
  },
});

const archive = (layout: 'current' | 'legacy' | 'oci' | 'both', compression: 'none' | 'gzip' = 'none') => ({
  ...kind,
  writeImage: (directory: string, tag: string, layers: Parameters<typeof writeOciLayout>[1][number]['layers']) => {
    writeDockerArchive(join(directory, `${tag}.tar`), [{ layers, tag: `${tag}:latest` }], layout, compression);
    return `docker-archive:${join(directory, `${tag}.tar`)}:${tag}`;
  },
});

storeConformance('docker, docker-archives', archive('current'));
storeConformance('docker, docker-archives of docker before 1.10', archive('legacy'));
storeConformance('docker, docker-archives of docker since 25', archive('both'));
storeConformance('docker, docker-archives compressed as a whole', archive('current', 'gzip'));

describeRoot('with whiteouts converted', () => {
  storeConformance('docker, overlay form', { ...archive('current'), form: 'overlay' });
});

storeConformance('docker, with a stand-in for the unpacker', {
  ...archive('oci'),
  open: (root) => openStore(root, { unpacker: new StandInUnpacker() }),
});
