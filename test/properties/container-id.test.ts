import * as fc from 'fast-check';
import { mkdirSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRootwrightError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { childOf, parentOf, parseContainerId, segmentsOf } from '../../src/paths/container-id.ts';
import { listContainers } from '../../src/paths/list-containers.ts';
import { containerDir, provisionerDir } from '../../src/paths/provisioner.ts';
import { makeDirectory, removeDirectory } from '../support/temporary-directory.ts';

const segment = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,20}$/);
const id = fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => segments.join('.'));

describe('container ids', () => {
  it('are segments, and know their parent', () => {
    fc.assert(
      fc.property(id, segment, (text, name) => {
        const parsed = parseContainerId(text);
        expect(segmentsOf(parsed).join('.')).toBe(text);
        const child = childOf(parsed, name);
        expect(parentOf(child)).toBe(parsed);
        expect(segmentsOf(child).at(-1)).toBe(name);
      }),
    );
  });

  it('have a directory below the provisioner directory, and no two share one', () => {
    fc.assert(
      fc.property(id, id, (a, b) => {
        const [first, second] = [containerDir('/r', parseContainerId(a)), containerDir('/r', parseContainerId(b))];
        expect(relative(provisionerDir('/r'), first).split('/')).not.toContain('..');
        expect(first === second).toBe(a === b);
      }),
    );
  });

  it('are refused, whatever the text, unless every segment is a safe directory name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('a', '.', '-', '/', '_', ' ', '\0') })), (text) => {
        const wellFormed = text.split('.').every((part) => /^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(part));
        try {
          parseContainerId(text);
          return wellFormed;
        } catch (error) {
          return !wellFormed && isRootwrightError(error) && error.code === 'INVALID_CONTAINER_ID';
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['a segment too long', 'a'.repeat(LIMITS.containerIdSegmentBytes + 1)],
    ['too many segments', Array.from({ length: LIMITS.containerIdSegments + 1 }, () => 'a').join('.')],
    ['a newline at the end', 'a\n'],
    ['nothing', ''],
  ])('are refused with %s', (_, text) => {
    expect(() => parseContainerId(text)).toThrow(/container id/);
  });

  it('[PA1] are all found again on disk with the parents they imply', () => {
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 12 }), (ids) => {
        const root = makeDirectory('ids');
        try {
          const expected = new Set<string>();
          for (const text of ids) {
            mkdirSync(containerDir(root, parseContainerId(text)), { recursive: true });
            text.split('.').forEach((_, index, segments) => expected.add(segments.slice(0, index + 1).join('.')));
          }
          expect(listContainers(root).toSorted()).toEqual([...expected].toSorted());
        } finally {
          removeDirectory(root);
        }
      }),
    );
  });
});
