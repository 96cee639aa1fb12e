import { describe, expect, it } from 'vitest';
import { applyPaxRecords, readPaxRecords, type PaxFields } from '../../../src/stores/layers/pax.ts';
import { paxPayload } from './support/tar-writer.ts';

const place = { offset: 0 };
const invalid = expect.objectContaining({ code: 'LAYER_INVALID' });
const apply = (...records: Array<[string, string | Buffer]>): PaxFields => applyPaxRecords([], readPaxRecords(paxPayload(records), place), place);

describe('readPaxRecords', () => {
  it('goes by the length, so a value may hold newlines, "=", NULs and things that look like records', () => {
    const value = Buffer.from([0x01, 0x0a, 0x00, 0x3d, 0x0a, ...Buffer.from('12 path=evil\n'), 0xff]);
    expect(
      readPaxRecords(
        paxPayload([
          ['SCHILY.xattr.security.capability', value],
          ['path', 'p'],
        ]),
        place,
      ),
    ).toEqual([
      { key: 'SCHILY.xattr.security.capability', value },
      { key: 'path', value: Buffer.from('p') },
    ]);
  });

  it.each([
    '12 path=evil',
    '5 a=b\n',
    '7 a=b\n',
    'a=b\n',
    ' 6 a=b\n',
    '6  a=b',
    '6 =bc\n',
    '6 abc\n',
    '99999999999 a=b\n',
    '0 a=b\n',
    '6 a=b\nx',
    '-6 a=b\n',
  ])('refuses %j', (text) => {
    expect(() => readPaxRecords(Buffer.from(text), place)).toThrowError(invalid);
  });
});

describe('applyPaxRecords', () => {
  it.each([
    ['1700000000', 1_700_000_000, 0],
    ['1700000000.25', 1_700_000_000, 250_000_000],
    ['1700000000.123456789', 1_700_000_000, 123_456_789],
    ['1700000000.1234567899', 1_700_000_000, 123_456_789],
    ['0.000000001', 0, 1],
    ['-1.5', -2, 500_000_000],
    ['-1', -1, 0],
    ['-0.000000001', -1, 999_999_999],
    ['-0.0000000001', -1, 999_999_999],
    ['1.', 1, 0],
  ])('reads the time %s to the nanosecond', (text, seconds, nanoseconds) => {
    expect(apply(['mtime', text]).modified).toEqual({ seconds, nanoseconds });
  });

  it.each([
    ['mtime', 'now'],
    ['mtime', '1e9'],
    ['atime', '1.2.3'],
    ['size', '-1'],
    ['size', '99999999999999999999'],
    ['uid', '1.5'],
    ['gid', ' 1'],
    ['path', 'a\0b'],
    ['linkpath', 'a\0b'],
    ['SCHILY.xattr.', 'x'],
  ])('refuses %s=%j', (key, value) => {
    expect(() => apply([key, value])).toThrowError(invalid);
  });

  it('keeps attributes as bytes, the last one of a name, and empty ones', () => {
    const value = Buffer.from('0100000200200000000000000a00000000000000', 'hex');
    expect(apply(['SCHILY.xattr.user.a', 'old'], ['SCHILY.xattr.security.capability', value], ['SCHILY.xattr.user.a', '']).xattrs).toEqual([
      { name: 'user.a', value: Buffer.alloc(0) },
      { name: 'security.capability', value },
    ]);
  });

  it("takes back what GNU tar encodes in an attribute's name", () => {
    expect(apply(['SCHILY.xattr.user.a%3Db%25c%41', 'x']).xattrs[0]?.name).toBe('user.a=b%c%41');
  });

  it('lets own records override global ones, and an empty one take them back', () => {
    const global = readPaxRecords(
      paxPayload([
        ['uid', '5'],
        ['gid', '6'],
        ['path', 'g'],
      ]),
      place,
    );
    const own = readPaxRecords(
      paxPayload([
        ['uid', '7'],
        ['gid', ''],
      ]),
      place,
    );
    const { uid, gid, path } = applyPaxRecords(global, own, place);
    expect([uid, gid, path]).toEqual([7, undefined, 'g']);
  });

  it('passes over what it does not know', () => {
    expect(apply(['comment', 'c'], ['VENDOR.key', 'v'], ['uname', 'root'])).toEqual({ xattrs: [], sparse: [] });
  });
});
