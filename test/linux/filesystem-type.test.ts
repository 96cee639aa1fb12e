import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { filesystemTypeOf, namedType, typeNamed } from '../../src/linux/filesystem-type.ts';

describe('filesystemTypeOf', () => {
  it.each(['/', '/proc', '/sys', '/dev', '/dev/shm', '/tmp', '/sys/fs/cgroup'].filter((path) => existsSync(path)))(
    '[FS2] of %s is what `stat -f` says',
    async (path) => {
      const magic = execFileSync('stat', ['-f', '-c', '%t', path], { encoding: 'utf8' }).trim();
      expect((await filesystemTypeOf(path)).magic.toString(16)).toBe(magic);
    },
  );

  it('fails as node:fs does', async () => {
    await expect(filesystemTypeOf('/proc/no-such-entry')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'statfs' });
  });
});

describe('namedType', () => {
  it('names what Mesos names, and more', () => {
    const known = {
      0x61756673: 'aufs',
      0x9123683e: 'btrfs',
      0xef53: 'ext',
      0x58465342: 'xfs',
      0x794c7630: 'overlay',
      0x01021994: 'tmpfs',
      0xca451a4e: 'bcachefs',
    };
    for (const [magic, name] of Object.entries(known)) expect(namedType(Number(magic))).toEqual({ magic: Number(magic), name });
  });

  it('cuts a sign-extended value to its 32 bits', () => {
    expect(namedType(-0x6edc97c2)).toEqual({ magic: 0x9123683e, name: 'btrfs' });
    expect(namedType(0x1_0000_ef53)).toEqual({ magic: 0xef53, name: 'ext' });
  });

  it("is 'unknown' with its number for the rest", () => {
    expect(namedType(0x12345)).toEqual({ magic: 0x12345, name: 'unknown' });
  });
});

describe('typeNamed', () => {
  it('takes the names of /proc/filesystems', () => {
    expect([typeNamed('ext4'), typeNamed('overlay'), typeNamed('nonsense')]).toEqual([
      { magic: 0xef53, name: 'ext' },
      { magic: 0x794c7630, name: 'overlay' },
      { magic: 0, name: 'unknown' },
    ]);
  });
});
