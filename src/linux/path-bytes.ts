import { systemError } from './system-error.ts';

/**
 * Paths are bytes to the kernel and text to us. Bytes that are no UTF-8 become single low surrogates, U+DC80 to U+DCFF, one each (the
 * way of Python's PEP 383), so that such a path compares, prefixes and goes back to the kernel unchanged.
 */
export function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return Buffer.from(text, 'utf8').equals(bytes) ? text : escapeInvalid(bytes);
}

/** The inverse of {@link textOf}. */
export function bytesOf(text: string): Buffer {
  if (!ESCAPED.test(text)) return Buffer.from(text, 'utf8');
  return Buffer.concat(
    text
      .split(ESCAPED_RUNS)
      .map((part, index) => (index % 2 === 0 ? Buffer.from(part, 'utf8') : Buffer.from(part.replace(/[^]/g, lowByte), 'latin1'))),
  );
}

/** Fails with EINVAL where a path holds a NUL byte, which C would take for its end. */
export function refuseNul(path: string | Buffer, syscall: string): void {
  if (path.includes('\0')) throw systemError('EINVAL', syscall, path.toString(), 'the path holds a NUL byte');
}

/** Whether `text` stands for bytes that are no UTF-8, so that only {@link bytesOf} brings them back. */
export function hasEscapedBytes(text: string): boolean {
  return ESCAPED.test(text);
}

const ESCAPED = /[\udc80-\udcff]/u;
const ESCAPED_RUNS = /([\udc80-\udcff]+)/u;

function lowByte(surrogate: string): string {
  return String.fromCharCode(surrogate.charCodeAt(0) & 0xff);
}

function escapeInvalid(bytes: Buffer): string {
  const parts: string[] = [];
  let start = 0;
  while (start < bytes.length) {
    const length = sequenceLength(bytes, start);
    const sequence = bytes.subarray(start, start + Math.max(length, 1));
    parts.push(length === 0 ? String.fromCharCode(0xdc00 | (bytes[start] ?? 0)) : sequence.toString('utf8'));
    start += sequence.length;
  }
  return parts.join('');
}

/** Bytes of the well-formed UTF-8 sequence at `start` (RFC 3629), 0 where there is none. */
function sequenceLength(bytes: Buffer, start: number): number {
  const lead = bytes[start] ?? 0;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  const sequence = bytes.subarray(start, start + length);
  return sequence.length === length && Buffer.from(sequence.toString('utf8'), 'utf8').equals(sequence) ? length : 0;
}
