import { describe, expect, it } from 'vitest';
import { errnoOf, programError } from '../../src/linux/util-linux-errors.ts';

describe('errnoOf', () => {
  it.each([
    ['mount: /x: mount point does not exist.', 'ENOENT'],
    ['mount: /x: special device overlay does not exist.', 'ENOENT'],
    ['mount: /x: wrong fs type, bad option, bad superblock on overlay, missing codepage or helper program, or other error.', 'EINVAL'],
    ["mount: /x: unknown filesystem type 'nonsense'.", 'ENODEV'],
    ['umount: /x: target is busy.', 'EBUSY'],
    ['umount: /x: not mounted.', 'EINVAL'],
    ['mount: /x: not mount point or bad option.', 'EINVAL'],
    ['mount: /x: must be superuser to use mount.', 'EPERM'],
    ['mount: /x: permission denied.', 'EACCES'],
    ['mount: /x: mount(2) system call failed: Too many levels of symbolic links.', 'ELOOP'],
    ['mount: /x: mount(2) system call failed: No such file or directory.', 'ENOENT'],
    ['mount: /x: mount(2) system call failed: Structure needs cleaning.', 'EUCLEAN'],
    ['setfattr: /proc/self/fd/3: No space left on device', 'ENOSPC'],
    ['getfattr: /proc/self/fd/3: No such attribute', 'ENODATA'],
    ['setfattr: /x: Operation not supported', 'ENOTSUP'],
    ['something never seen', 'EIO'],
  ])('%s', (text, code) => {
    expect(errnoOf(text, '/x')).toBe(code);
  });

  it('does not read words in the path', () => {
    expect(errnoOf('umount: /not mounted/file exists: target is busy.', '/not mounted/file exists')).toBe('EBUSY');
  });
});

describe('programError', () => {
  it('keeps the text, or the exit code where there is none', () => {
    expect(programError('mount', '/x', 'mount: /x: odd\n       words.\n', 32)).toMatchObject({
      code: 'EIO',
      syscall: 'mount',
      path: '/x',
      message: expect.stringContaining('mount: /x: odd words.') as string,
    });
    expect(programError('mount', '/x', '', 32).message).toContain('exit code 32');
  });
});
