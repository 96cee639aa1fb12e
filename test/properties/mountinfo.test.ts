import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMountPath, parseMountinfo } from '../../src/linux/mountinfo.ts';
import { bytesOf, textOf } from '../../src/linux/path-bytes.ts';

/** As fs/seq_file.c's mangle_path and seq_escape do: some bytes in octal, the rest as they are. */
function escape(bytes: Uint8Array, alsoEscape: ReadonlySet<number>): Buffer {
  const always = new Set(Buffer.from(' \t\n\\'));
  return Buffer.concat(
    [...bytes].map((byte) =>
      always.has(byte) || alsoEscape.has(byte) ? Buffer.from(`\\${byte.toString(8).padStart(3, '0')}`) : Buffer.from([byte]),
    ),
  );
}

const pathBytes = fc.oneof(
  fc.uint8Array({ min: 1, maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => new Uint8Array(Buffer.from(text.replaceAll('\0', ''), 'utf8'))),
  fc.constantFrom('\\040', '\\', ' ', '\t\n', '\\134040', '\u{10ffff}', '\ufffd').map((text) => new Uint8Array(Buffer.from(text))),
);

describe('mountinfo escapes', () => {
  it('every byte sequence comes back, whichever bytes the kernel escapes', () => {
    fc.assert(
      fc.property(pathBytes, fc.uint8Array({ maxLength: 5 }), (bytes, escaped) => {
        const decoded = decodeMountPath(escape(bytes, new Set(escaped)).toString('latin1'));
        expect(bytesOf(decoded)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it('a table of such paths is read whole', () => {
    fc.assert(
      fc.property(fc.array(pathBytes, { maxLength: 8 }), (paths) => {
        const lines = paths.map((path, index) => {
          const escaped = escape(path, new Set());
          return Buffer.concat([Buffer.from(`${index + 2} 1 0:${index} / /`), escaped, Buffer.from(' rw - tmpfs '), escaped, Buffer.from(' rw\n')]);
        });
        const table = parseMountinfo(Buffer.concat(lines));
        expect(table.mounts.map(({ target }) => bytesOf(target))).toEqual(paths.map((path) => Buffer.concat([Buffer.from('/'), path])));
        expect(table.mounts.map(({ source }) => bytesOf(source))).toEqual(paths.map((path) => Buffer.from(path)));
      }),
      { numRuns: 300 },
    );
  });
});

describe('path bytes', () => {
  it('text of valid UTF-8 is that text, and prefixes stay prefixes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uint8Array(), (text, rest) => {
        const bytes = Buffer.from(text, 'utf8');
        expect(textOf(bytes)).toBe(bytes.toString('utf8'));
        expect(textOf(Buffer.concat([bytes, Buffer.from('/'), rest])).startsWith(`${text}/`)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
