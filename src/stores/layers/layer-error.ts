import { RootwrightError, type ErrorCode } from '../../errors.ts';
import { showByteString, type ByteString } from './byte-string.ts';

/** The codes that the content of a layer can cause. */
export type LayerErrorCode = Extract<ErrorCode, 'LAYER_INVALID' | 'LAYER_UNSAFE' | 'LIMIT_EXCEEDED'>;

/** Where in a layer something was found: the byte offset of the entry's header in the uncompressed tar, and its name where it has one yet. */
export interface LayerPlace {
  readonly offset: number;
  readonly entry?: ByteString | undefined;
}

/** `what` is wrong with the layer, at `place`. */
export function layerError(code: LayerErrorCode, what: string, place: LayerPlace, details: Readonly<Record<string, unknown>> = {}): RootwrightError {
  const entry = place.entry === undefined ? undefined : showByteString(place.entry);
  const where = entry === undefined ? `at byte ${place.offset}` : `entry ${entry} at byte ${place.offset}`;
  return new RootwrightError(code, `the layer's tar archive, ${where}: ${what}`, {
    details: { offset: place.offset, ...(entry === undefined ? {} : { entry: JSON.parse(entry) as string }), ...details },
  });
}
