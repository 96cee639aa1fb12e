import { describe, expect, it } from 'vitest';
import { readHeader, readNumber } from '../../../src/stores/layers/header.ts';
import { headerBytes, tarOf } from './support/tar-writer.ts';

const number = (bytes: Buffer): number => readNumber(bytes, 0, bytes.length, 'test', { offset: 0 });

describe('readNumber', () => {
  it.each([
    ['0000644\0', 0o644],
    ['   644 \0', 0o644],
    ['644', 0o644],
    ['\0\0\0\0', 0],
    ['        ', 0],
    ['77777777777\0', 0o77777777777],
    ['777777777777', 0o777777777777],
    ['12 \0garbage', 0o12],
  ])('reads %j as octal', (text, value) => {
    expect(number(Buffer.from(text, 'latin1'))).toBe(value);
  });

  it.each(['9', '12x', '0x12', '-7', '1.5'])('refuses %j', (text) => {
    expect(() => number(Buffer.from(text, 'latin1'))).toThrowError(expect.objectContaining({ code: 'LAYER_INVALID' }));
  });

  it.each([0, 1, -1, 255, 256, -256, 2 ** 33, -(2 ** 33), Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER])('reads %d in base-256', (value) => {
    for (const length of [8, 12]) {
      const bytes = Buffer.alloc(length, value < 0 ? 0xff : 0);
      bytes.writeBigInt64BE(BigInt(value), length - 8);
      bytes[0] = (bytes[0] ?? 0) | 0x80;
      expect(number(bytes)).toBe(value);
    }
  });

  it.each(['80ffffffffffffffffffffff', 'bfffffffffffffff', 'c000000000000000', '800000000020000000000000'])(
    'refuses %s, more than a double holds exactly',
    (hex) => {
      expect(() => number(Buffer.from(hex, 'hex'))).toThrowError(expect.objectContaining({ code: 'LAYER_INVALID' }));
    },
  );
});

describe('readHeader', () => {
  it('takes checksums of unsigned and of signed characters', () => {
    const name = Buffer.from([0xe4, 0xf6, 0xfc]);
    for (const checksum of ['unsigned', 'signed'] as const) {
      expect(readHeader(headerBytes({ name, checksum }), 0, 0)?.name).toBe('\xe4\xf6\xfc');
    }
  });

  it('refuses a wrong checksum and says where', () => {
    expect(() => readHeader(headerBytes({ name: 'a', checksum: 'wrong' }), 0, 1024)).toThrowError(/at byte 1024: the header's checksum/);
  });

  it('gives the same wherever the block lies in memory', () => {
    const block = headerBytes({ name: 'some/name', uid: 12, mtime: 1234 });
    const expected = readHeader(block, 0, 0);
    for (let shift = 1; shift < 9; shift += 1) {
      const memory = Buffer.concat([Buffer.alloc(shift, 0xff), block]);
      expect(readHeader(memory, shift, 0)).toEqual(expected);
    }
  });

  it('takes a block of zeros for none', () => {
    expect(readHeader(tarOf(), 0, 0)).toBeUndefined();
  });

  it('joins the prefix of ustar, and of star, but not what GNU keeps there', () => {
    expect(readHeader(headerBytes({ name: 'n', prefix: 'p'.repeat(155) }), 0, 0)?.name).toBe(`${'p'.repeat(155)}/n`);
    expect(readHeader(headerBytes({ name: 'n', prefix: 'p'.repeat(140), magic: 'star' }), 0, 0)?.name).toBe(`${'p'.repeat(131)}/n`);
    expect(readHeader(headerBytes({ name: 'n', prefix: '14000000000', magic: 'gnu' }), 0, 0)?.name).toBe('n');
    expect(readHeader(headerBytes({ name: 'n', prefix: 'p', magic: 'v7' }), 0, 0)?.name).toBe('n');
  });

  it('reads names and targets that fill their field', () => {
    const header = readHeader(headerBytes({ name: 'n'.repeat(100), linkName: 'l'.repeat(100), type: '2' }), 0, 0);
    expect([header?.name, header?.linkName]).toEqual(['n'.repeat(100), 'l'.repeat(100)]);
  });
});
