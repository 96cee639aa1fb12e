import { mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { familiarReference } from '../../../src/stores/docker/docker-reference.ts';
import { hasDockerTransport, parseImageName, sourceIndex } from '../../../src/stores/docker/image-name.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

describe('an image name', () => {
  it.each([
    ['oci:/no/such', { transport: 'oci', path: '/no/such' }, 'oci:/no/such'],
    ['oci:/no/such:latest', { transport: 'oci', path: '/no/such', reference: 'latest' }, 'oci:/no/such:latest'],
    [
      'oci:/no/such:docker.io/library/alpine:3',
      { path: '/no/such', reference: 'docker.io/library/alpine:3' },
      'oci:/no/such:docker.io/library/alpine:3',
    ],
    ['oci:/no/such:@2', { path: '/no/such', reference: '@2' }, 'oci:/no/such:@2'],
    ['oci:such', { path: '/no/such' }, 'oci:/no/such'],
    ['oci:../a//b/./c/:v1', { path: '/a/b/c', reference: 'v1' }, 'oci:/a/b/c:v1'],
    ['docker-archive:/a.tar', { transport: 'docker-archive', path: '/a.tar' }, 'docker-archive:/a.tar'],
    ['docker-archive:/a.tar:@0', { path: '/a.tar', reference: '@0' }, 'docker-archive:/a.tar:@0'],
    ['docker-archive:/a.tar:alpine', { reference: 'alpine:latest' }, 'docker-archive:/a.tar:alpine:latest'],
    ['docker-archive:/a.tar:docker.io/library/alpine:3', { reference: 'alpine:3' }, 'docker-archive:/a.tar:alpine:3'],
    ['docker-archive:/a.tar:localhost:5000/a/b', { reference: 'localhost:5000/a/b:latest' }, 'docker-archive:/a.tar:localhost:5000/a/b:latest'],
  ])('%s is read', (text, expected, canonical) => {
    expect(parseImageName(text, '/no')).toMatchObject({ ...expected, text: canonical });
  });

  it.each([
    ['alpine', /names no known transport.*oci:DIR/],
    ['dir:/x', /names no known transport/],
    ['', /names no known transport/],
    ['oci:', /has no path/],
    ['oci::latest', /has no path/],
    ['oci:/x:', /no reference/],
    ['oci:/x:-a', /tag "-a"/],
    ['oci:/x:a b', /tag "a b"/],
    ['oci:/x:@-1', /write '@N'/],
    ['oci:/x:@01', /write '@N'/],
    ['oci:/x\0y', /NUL/],
    [`oci:/${'x/'.repeat(2100)}`, /more than 4095 bytes/],
    ['docker-archive:/x.tar:UPPER', /write 'name:tag'/],
    ['docker-archive:/x.tar:a@sha256:0123', /write 'name:tag'/],
  ])('%j is refused with INVALID_IMAGE_NAME', (text, message) => {
    expect(() => parseImageName(text)).toThrow(expect.objectContaining({ code: 'INVALID_IMAGE_NAME', message: expect.stringMatching(message) }));
  });

  it.each(['docker://alpine', 'appc:example.com/a'])('%s is recognised and refused with IMAGE_UNSUPPORTED', (text) => {
    expect(() => parseImageName(text)).toThrow(expect.objectContaining({ code: 'IMAGE_UNSUPPORTED', message: expect.stringContaining('to come') }));
  });

  it('is the same for all paths that lead to one place', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'real', 'layout'), { recursive: true });
    symlinkSync('real', join(directory, 'link'));
    const names = ['oci:real/layout:v1', 'oci:link/layout:v1', 'oci:./link/../real/layout/:v1', `oci:${directory}/link/layout:v1`];
    expect(new Set(names.map((name) => parseImageName(name, directory).text))).toEqual(new Set([`oci:${realpathSync(directory)}/real/layout:v1`]));
    rmSync(join(directory, 'real', 'layout'), { recursive: true });
    expect(parseImageName('oci:link/layout:v1', directory).text).toBe(`oci:${directory}/real/layout:v1`);
  });

  it("reads a path with ':' in it as skopeo does, unless only the longer path exists", () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'a:b'));
    expect(parseImageName('oci:a:b', directory)).toMatchObject({ path: join(directory, 'a:b') });
    expect(parseImageName('oci:a:b', directory).reference).toBeUndefined();
    expect(parseImageName('oci:a:b:v1', directory)).toMatchObject({ path: join(directory, 'a:b'), reference: 'v1' });
    mkdirSync(join(directory, 'a'));
    expect(parseImageName('oci:a:b:v1', directory)).toMatchObject({ path: join(directory, 'a'), reference: 'b:v1' });
    writeFileSync(join(directory, 'c.tar:d'), '');
    expect(parseImageName('docker-archive:c.tar:d:x', directory)).toMatchObject({ path: join(directory, 'c.tar:d'), reference: 'x:latest' });
  });

  it('reads its own canonical text as itself', () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9_.@ -]{1,12}$/);
    const tag = fc.option(fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9]{1,8})?$/), { nil: undefined });
    const transport = fc.constantFrom('oci', 'docker-archive');
    fc.assert(
      fc.property(transport, fc.array(segment, { minLength: 1, maxLength: 5 }), tag, (transport, segments, tag) => {
        const name = parseImageName(`${transport}:${segments.join('/')}${tag === undefined ? '' : `:${tag}`}`, '/no/such/directory');
        expect(parseImageName(name.text, '/elsewhere')).toEqual(name);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the transports of the docker store', () => {
  it.each([
    ['oci:/x', true],
    ['docker-archive:x', true],
    ['docker://x', true],
    ['appc:x', false],
    ['alpine', false],
  ])('%s: %s', (name, accepted) => expect(hasDockerTransport(name)).toBe(accepted));
});

describe("docker's short form of a reference", () => {
  it.each([
    ['alpine', 'alpine:latest'],
    ['library/alpine:3.20', 'alpine:3.20'],
    ['index.docker.io/library/alpine', 'alpine:latest'],
    ['docker.io/grafana/grafana:9', 'grafana/grafana:9'],
    ['quay.io/library/alpine', 'quay.io/library/alpine:latest'],
    ['localhost/x', 'localhost/x:latest'],
    ['[::1]:5000/x:1', '[::1]:5000/x:1'],
    ['a__b/c-d.e:_x.Y-1', 'a__b/c-d.e:_x.Y-1'],
  ])('of %s is %s (MESOS-5009, MESOS-9675)', (text, expected) => expect(familiarReference(text)).toBe(expected));

  it.each(['', ':x', 'a:', 'a//b', '-a', 'a:b c', 'a@sha256:00', 'docker.io/', `a:${'x'.repeat(129)}`, 'A/b/c d'])('of %j is none', (text) =>
    expect(familiarReference(text)).toBeUndefined(),
  );
});

describe('a source index', () => {
  it('is the number behind @', () =>
    expect([sourceIndex('@0'), sourceIndex('@12'), sourceIndex('v1'), sourceIndex(undefined)]).toEqual([0, 12, undefined, undefined]));
});
