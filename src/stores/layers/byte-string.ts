/**
 * Bytes as text, one character for each byte (U+0000 to U+00FF). Names in an archive need not be UTF-8, and they are compared, cut and
 * looked up a lot: as such a string they keep every byte and are as quick as any other Map key.
 */
export type ByteString = string;

/** The bytes `[start, end)` of `buffer`. */
export function byteStringOf(buffer: Buffer, start = 0, end = buffer.length): ByteString {
  return buffer.toString('latin1', start, end);
}

/** The inverse of {@link byteStringOf}. */
export function bytesOfByteString(bytes: ByteString): Buffer {
  return Buffer.from(bytes, 'latin1');
}

/** For messages: as UTF-8, quoted, control characters escaped, cut where it is long. */
export function showByteString(bytes: ByteString): string {
  const text = bytesOfByteString(bytes.length > SHOWN_BYTES ? bytes.slice(0, SHOWN_BYTES) : bytes).toString('utf8');
  return JSON.stringify(bytes.length > SHOWN_BYTES ? `${text}…` : text);
}

const SHOWN_BYTES = 300;
