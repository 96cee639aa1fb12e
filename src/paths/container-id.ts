import { RootwrightError } from '../errors.ts';
import { LIMITS } from '../limits.ts';

/** A container's id: one or more segments joined by '.', `parent.child`. Made by {@link parseContainerId} only. */
export type ContainerId = string & { readonly '~containerId': true };

/**
 * Checks an id. A segment is 1 to 255 bytes of letters, digits, '_' and '-', and starts with no '-': it becomes a directory name and must
 * be safe to show, to type and to pass on a command line. Fails with INVALID_CONTAINER_ID, which names the offending segment.
 */
export function parseContainerId(text: string): ContainerId {
  const segments = text.split('.');
  if (segments.length > LIMITS.containerIdSegments)
    throw invalid(text, `has ${segments.length} segments, at most ${LIMITS.containerIdSegments} are allowed`);
  for (const segment of segments) {
    if (segment.length > LIMITS.containerIdSegmentBytes)
      throw invalid(text, `has a segment of ${segment.length} bytes, at most ${LIMITS.containerIdSegmentBytes} are allowed`);
    if (!/^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(segment))
      throw invalid(text, `has the segment ${JSON.stringify(segment)}; use letters, digits, '_' and '-', and no '-' first`);
  }
  return text as ContainerId;
}

/** The segments, outermost first. */
export function segmentsOf(id: ContainerId): string[] {
  return id.split('.');
}

/** The id one level up, undefined for a top-level container. */
export function parentOf(id: ContainerId): ContainerId | undefined {
  const dot = id.lastIndexOf('.');
  return dot < 0 ? undefined : (id.slice(0, dot) as ContainerId);
}

/** The id of `segment` nested in `parent`. */
export function childOf(parent: ContainerId, segment: string): ContainerId {
  return parseContainerId(`${parent}.${segment}`);
}

function invalid(id: string, why: string): RootwrightError {
  return new RootwrightError('INVALID_CONTAINER_ID', `the container id ${JSON.stringify(id)} ${why}`, { details: { container: id } });
}
