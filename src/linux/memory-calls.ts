import { createRequire } from 'node:module';
import { systemError } from './system-error.ts';

/**
 * The calls that make files, on arguments that lie in memory already: for threads that make tens of thousands. A call takes addresses,
 * and gives what C gives or the negative errno; nothing is copied, converted or checked. The caller keeps the memory alive meanwhile, and
 * hands out addresses inside of it only.
 */
export interface MemoryCalls {
  /** Where `memory` begins; good until it is transferred or collected. */
  addressOf(memory: ArrayBuffer): number;
  /**
   * Makes a regular file and opens it for writing. `path` (NUL-terminated, relative) is followed below `directory` only and through no
   * symlink, by the kernel's own word (openat2(2), RESOLVE_BENEATH) where it has that. -EEXIST where anything is there.
   */
  create(directory: number, path: number, mode: number): number;
  write(fd: number, bytes: number, length: number, position: number): number;
  /** `times`: two struct timespec, access and modification. */
  setTimes(fd: number, times: number): number;
  close(fd: number): number;
}

/** {@link MemoryCalls} for this thread; undefined where koffi does not load. */
export function openMemoryCalls(): MemoryCalls | undefined {
  if (process.platform !== 'linux' || !ARCHITECTURES.has(process.arch)) return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as typeof import('koffi'));
  } catch {
    return undefined;
  }
}

/** Throws the SystemError of a failed call, else hands its result on. */
export function checkCall(result: number, syscall: string, path: Buffer): number {
  if (result < 0) throw systemError(result, syscall, path.toString());
  return result;
}

/** Where openat2 is number 437 and addresses have 64 bits, little-endian as struct open_how is written here. */
const ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'loong64']);

const OPENAT2 = 437;
const AT_FDCWD = -100;
const O_PATH = 0o10000000;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;

function bind(koffi: typeof import('koffi')): MemoryCalls {
  const libc = koffi.load(null);
  const openat2 = libc.func('syscall', 'long', ['long', 'int', 'uintptr_t', 'uintptr_t', 'size_t']);
  const openat = libc.func('int openat(int directory, uintptr_t path, int flags, unsigned int mode)');
  const pwrite = libc.func('long pwrite(int fd, uintptr_t bytes, size_t length, long position)');
  const futimens = libc.func('int futimens(int fd, uintptr_t times)');
  const close = libc.func('int close(int fd)');
  const done = (result: number): number => (result < 0 ? -koffi.errno() : result);
  const how = openHow();
  const howAddress = Number(koffi.address(how));
  // Unknown to kernels before 5.6, and forbidden in some containers.
  const beneath = probe(
    (path) => openat2(OPENAT2, AT_FDCWD, Number(koffi.address(path)), Number(koffi.address(openHow(O_PATH))), how.length) as number,
    close,
  );
  return {
    addressOf: (memory) => Number(koffi.address(memory)),
    create: (directory, path, mode) => {
      if (!beneath) return done(openat(directory, path, CREATE, mode) as number);
      how.writeUInt32LE(mode, 8);
      return done(openat2(OPENAT2, directory, path, howAddress, how.length) as number);
    },
    write: (fd, bytes, length, position) => done(pwrite(fd, bytes, length, position) as number),
    setTimes: (fd, times) => done(futimens(fd, times) as number),
    close: (fd) => done(close(fd) as number),
  };
}

/** O_WRONLY, O_CREAT, O_EXCL, O_CLOEXEC; O_EXCL follows no symlink at the end of the path, so O_NOFOLLOW, whose number varies, is not needed. */
const CREATE = 0o2000301;

/** struct open_how: flags, mode, resolve; of 64 bits each. */
function openHow(flags = CREATE): Buffer {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(BigInt(RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH), 16);
  return how;
}

function probe(open: (path: Buffer) => number, close: (fd: number) => number): boolean {
  const fd = open(Buffer.from('.\0'));
  if (fd < 0) return false;
  close(fd);
  return true;
}
