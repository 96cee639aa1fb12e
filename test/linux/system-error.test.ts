import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isSystemError, systemError } from '../../src/linux/system-error.ts';

describe('systemError', () => {
  it('has the shape of an error of node:fs', () => {
    let real: unknown;
    try {
      readFileSync('/proc/no-such-entry');
    } catch (error) {
      real = error;
    }
    const own = systemError('ENOENT', 'open', '/proc/no-such-entry');
    const shape = ({ message, code, errno, syscall, path }: NodeJS.ErrnoException): unknown => ({ message, code, errno, syscall, path });
    expect(shape(own)).toEqual(shape(real as Error));
  });

  it('takes numbers of either sign and names, also those that libuv does not name', () => {
    expect(systemError(16, 'umount2')).toMatchObject({ code: 'EBUSY', errno: -16, syscall: 'umount2' });
    expect(systemError(-16, 'umount2')).toMatchObject({ code: 'EBUSY', errno: -16 });
    expect(systemError('EUCLEAN', 'mount')).toMatchObject({ code: 'EUCLEAN', errno: -117 });
    expect(systemError(117, 'mount').message).toBe('EUCLEAN: structure needs cleaning, mount');
    expect(systemError(116, 'mount')).toMatchObject({ code: 'ESTALE', errno: -116 });
    expect(systemError(4000, 'mount')).toMatchObject({ code: 'E4000', errno: -4000 });
  });

  it('ends with what the kernel said', () => {
    expect(systemError('EINVAL', 'fsconfig', '/x', 'overlay: no').message).toBe("EINVAL: invalid argument, fsconfig '/x': overlay: no");
  });
});

describe('isSystemError', () => {
  it('knows errors of system calls, and by code', () => {
    const error = systemError('EBUSY', 'umount2');
    expect([isSystemError(error), isSystemError(error, 'ENOENT', 'EBUSY'), isSystemError(error, 'ENOENT')]).toEqual([true, true, false]);
  });

  it('is false for other errors and other things', () => {
    const coded = Object.assign(new Error('no syscall'), { code: 'EBUSY' });
    expect([coded, new Error('x'), 'EBUSY', undefined, null, { code: 'EBUSY', syscall: 'umount2' }].map((error) => isSystemError(error))).toEqual(
      Array.from({ length: 6 }, () => false),
    );
  });
});
