import { describe, expect, it } from 'vitest';
import { isWithin, parseMountinfo, type Mount } from '../../src/linux/mountinfo.ts';
import { bytesOf } from '../../src/linux/path-bytes.ts';

const line = (id: number, parentId: number, target: string, optional = ''): string =>
  `${id} ${parentId} 8:1 / ${target} rw,relatime${optional} - ext4 /dev/sda1 rw\n`;

const targets = (mounts: readonly Mount[]): string[] => mounts.map(({ target }) => target);

describe('parseMountinfo', () => {
  it('[FS3] [FS4] reads a line without optional fields', () => {
    const [mount] = parseMountinfo('19 1 8:1 /sub /root/mnt rw,noatime - ext3 /dev/root rw,errors=continue\n').mounts;
    expect(mount).toEqual({
      id: 19,
      parentId: 1,
      device: '8:1',
      root: '/sub',
      target: '/root/mnt',
      options: ['rw', 'noatime'],
      unbindable: false,
      type: 'ext3',
      source: '/dev/root',
      superOptions: ['rw', 'errors=continue'],
    });
  });

  it('[FS4] reads every optional field, in any order, and passes over unknown ones', () => {
    const [mount] = parseMountinfo(line(19, 1, '/m', ' master:7 new:9 shared:2 propagate_from:3 unbindable')).mounts;
    expect(mount).toMatchObject({ shared: 2, master: 7, propagateFrom: 3, unbindable: true });
  });

  it('reads a target, type and source named like the separator, and an empty source', () => {
    const [dash, empty] = parseMountinfo('19 1 0:9 / - rw - tmpfs - rw\n20 1 0:9 / /m rw shared:1 - fuse.sshfs  rw,user_id=0\n').mounts;
    expect(dash).toMatchObject({ target: '-', type: 'tmpfs', source: '-', superOptions: ['rw'] });
    expect(empty).toMatchObject({ target: '/m', type: 'fuse.sshfs', source: '', shared: 1 });
  });

  it('decodes escapes in every field that has them, once', () => {
    const text = '19 1 0:9 /a\\040b /t\\011\\012\\134040\\043 rw - overlay my\\040source rw,lowerdir=/x\\054y:/z,upperdir=/u\n';
    expect(parseMountinfo(text).mounts[0]).toMatchObject({
      root: '/a b',
      target: '/t\t\n\\040#',
      source: 'my source',
      superOptions: ['rw', 'lowerdir=/x,y:/z', 'upperdir=/u'],
    });
  });

  it('keeps UTF-8, and bytes that are none', () => {
    const bytes = Buffer.concat([Buffer.from('19 1 0:9 / /grün-'), Buffer.from([0xff, 0xe4]), Buffer.from(' rw - tmpfs t rw\n')]);
    const target = parseMountinfo(bytes).mounts[0]?.target ?? '';
    expect(target).toBe('/grün-\udcff\udce4');
    expect(bytesOf(target)).toEqual(Buffer.concat([Buffer.from('/grün-'), Buffer.from([0xff, 0xe4])]));
    expect(parseMountinfo(line(1, 1, '/grün')).at('/grün')).toHaveLength(1);
  });

  it('[FS5] puts parents before children whatever the order of the lines, and stacked mounts bottom first', () => {
    const text = line(30, 20, '/a/b') + line(21, 20, '/a') + line(20, 10, '/a') + line(10, 1, '/') + line(11, 10, '/z');
    const table = parseMountinfo(text);
    expect(table.mounts.map(({ id }) => id)).toEqual([10, 20, 30, 21, 11]);
    expect(table.at('/a').map(({ id }) => id)).toEqual([20, 21]);
    expect(targets(table.atOrBelow('/a'))).toEqual(['/a', '/a/b', '/a']);
  });

  it('[FS5] tolerates an entry that is its own parent, and cycles', () => {
    const own = parseMountinfo(line(2, 2, '/a') + line(1, 1, '/'));
    expect(targets(own.mounts)).toEqual(['/a', '/']);
    expect(own.containing('/a/x')?.id).toBe(2);
    const cycle = parseMountinfo(line(1, 1, '/') + line(2, 3, '/a') + line(3, 2, '/a/b'));
    expect(targets(cycle.mounts)).toEqual(['/', '/a', '/a/b']);
    expect(targets(cycle.atOrBelow('/a'))).toEqual(['/a', '/a/b']);
    expect(cycle.containing('/a/b/c')?.id).toBe(1);
  });

  it('holds ten thousand stacked mounts', () => {
    const table = parseMountinfo(Array.from({ length: 10_000 }, (_, index) => line(index + 1, index, '/')).join(''));
    expect(table.at('/')).toHaveLength(10_000);
    expect(table.containing('/x')?.id).toBe(10_000);
  });

  it('is EINVAL with the line for what is no mount', () => {
    for (const bad of ['19 1 8:1 / /m rw', 'x 1 8:1 / /m rw - ext4 s rw', '19 1 8:1 / /m rw - ext4', 'nonsense'])
      expect(() => parseMountinfo(`${line(1, 1, '/')}${bad}\n`)).toThrow(new RegExp(`EINVAL.*${bad.replaceAll('/', '\\/')}`));
  });

  it('is empty for an empty text', () => {
    const table = parseMountinfo('');
    expect([table.mounts, table.at('/'), table.atOrBelow('/'), table.containing('/')]).toEqual([[], [], [], undefined]);
  });
});

describe('MountTable.containing', () => {
  const table = parseMountinfo(line(1, 0, '/') + line(2, 1, '/a') + line(3, 2, '/a/b/c') + line(4, 1, '/file'));

  it('[FS8] finds the exact mount, that of a file inside, a file mount, and is not confused by a prefix-named sibling', () => {
    const found = ['/a', '/a/x/y', '/a/b', '/a/b/c', '/a/b/c/d', '/a/b/cd', '/ab', '/file', '/file2', '/'].map((path) => table.containing(path)?.id);
    expect(found).toEqual([2, 2, 2, 3, 3, 2, 1, 4, 1, 1]);
  });

  it('finds the upper one of two stacked, and not one that a later mount hides', () => {
    const stacked = parseMountinfo(line(1, 0, '/') + line(2, 1, '/a') + line(3, 2, '/a'));
    expect(stacked.containing('/a/x')?.id).toBe(3);
    const hidden = parseMountinfo(line(1, 0, '/') + line(2, 1, '/a/b') + line(3, 1, '/a'));
    expect(hidden.containing('/a/b/x')?.id).toBe(3);
    expect(targets(hidden.atOrBelow('/a'))).toEqual(['/a/b', '/a']);
  });
});

describe('isWithin', () => {
  it('compares whole names', () => {
    expect([
      isWithin('/', '/a'),
      isWithin('/', '/'),
      isWithin('/a', '/a'),
      isWithin('/a', '/a/b'),
      isWithin('/a', '/ab'),
      isWithin('/a/b', '/a'),
    ]).toEqual([true, true, true, true, false, false]);
  });
});
