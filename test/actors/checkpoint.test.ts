import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint, protectedIds, type Checkpoint } from '../../src/actors/checkpoint.ts';
import { isRootwrightError } from '../../src/errors.ts';

const rootfs = {
  id: '3f0c9c9e-0000-4000-8000-000000000001',
  backend: 'overlay',
  image: 'oci:/images/app:latest',
  manifestDigest: 'sha256:11',
  configDigest: 'sha256:22',
  layers: [
    { id: 'sha256:aa', path: '/store/layers/sha256:aa/rootfs.overlay' },
    { id: 'sha256:bb', path: '/store/layers/sha256:bb/rootfs.overlay' },
  ],
  createdAt: 1_700_000_000_000,
};
const checkpoint: Checkpoint = { container: 'web.sidecar', rootfses: [rootfs, { ...rootfs, id: 'two', ephemeralVolumes: ['/c/upper', '/c/work'] }] };

const name = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..');
const anyRootfs = fc.record(
  {
    id: name,
    backend: name,
    image: fc.string({ unit: 'binary' }),
    manifestDigest: fc.string(),
    configDigest: fc.string(),
    layers: fc.array(fc.record({ id: fc.string({ unit: 'grapheme' }), path: fc.string({ unit: 'binary' }) }), { maxLength: 9 }),
    ephemeralVolumes: fc.array(fc.string(), { maxLength: 3 }),
    createdAt: fc.maxSafeNat(),
  },
  { requiredKeys: ['id', 'backend', 'image', 'manifestDigest', 'configDigest', 'layers', 'createdAt'] },
);
const anyCheckpoint: fc.Arbitrary<Checkpoint> = fc.record({
  container: fc.string(),
  rootfses: fc.uniqueArray(anyRootfs, { maxLength: 4, selector: ({ id }) => id }),
});

function refused(bytes: Buffer): boolean {
  try {
    decodeCheckpoint(bytes, '/c/layers');
    return false;
  } catch (error) {
    return isRootwrightError(error) && error.code === 'CHECKPOINT_CORRUPT' && error.message.includes('/c/layers');
  }
}

describe('[CK1] the checkpoint', () => {
  it('comes back as it was written', () => {
    fc.assert(
      fc.property(anyCheckpoint, (value) => {
        expect(decodeCheckpoint(encodeCheckpoint(value), '/c/layers')).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('is refused after every truncation', () => {
    const bytes = encodeCheckpoint(checkpoint);
    for (let length = 0; length < bytes.length; length++) expect(refused(bytes.subarray(0, length)), `first ${length} bytes`).toBe(true);
  });

  it('is refused after every flipped bit', () => {
    const bytes = encodeCheckpoint(checkpoint);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refused(flipped), `bit ${bit}`).toBe(true);
    }
  });

  it('is refused with bytes added, changed or taken out', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2000 }), fc.nat({ max: 20 }), fc.uint8Array({ maxLength: 20 }), (at, remove, insert) => {
        const bytes = encodeCheckpoint(checkpoint);
        const start = at % (bytes.length + 1);
        const changed = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + remove)]);
        return changed.equals(bytes) || refused(changed);
      }),
    );
  });

  it.each([
    ['an unknown field', { container: 'a', rootfses: [], extra: 1 }],
    ['a missing field', { container: 'a' }],
    ['an id that leads out of the directory', { container: 'a', rootfses: [{ ...rootfs, id: '../../etc' }] }],
    ['a rootfs id twice', { container: 'a', rootfses: [rootfs, rootfs] }],
    ['a layer without path', { container: 'a', rootfses: [{ ...rootfs, layers: [{ id: 'x' }] }] }],
    ['a time that is no number', { container: 'a', rootfses: [{ ...rootfs, createdAt: 'now' }] }],
  ])('is refused with %s though the checksum holds', (_, body) => {
    const text = JSON.stringify(body);
    expect(refused(Buffer.from(`{"version":1,"checksum":"sha256:${hash('sha256', text)}","body":${text}}\n`))).toBe(true);
  });

  it('is refused with a body that is no JSON though the checksum holds', () => {
    expect(refused(Buffer.from(`{"version":1,"checksum":"sha256:${hash('sha256', '{oops')}","body":{oops}\n`))).toBe(true);
  });

  it('[R5] [R6] protects the layers and configs of all rootfses', () => {
    const other = { ...rootfs, id: 'other', configDigest: 'sha256:33', layers: [{ id: 'sha256:cc', path: '/x' }] };
    expect(new Set(protectedIds([rootfs, other]))).toEqual(new Set(['sha256:aa', 'sha256:bb', 'sha256:cc', 'sha256:22', 'sha256:33']));
  });
});
