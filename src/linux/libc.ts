import { createRequire } from 'node:module';
import type { Path } from './kernel.ts';
import { bytesOf, hasEscapedBytes, refuseNul } from './path-bytes.ts';
import { systemError } from './system-error.ts';

/** What a binding takes: text as UTF-8, a Buffer as a pointer to its bytes, null as NULL. */
export type Argument = string | Buffer | number | bigint | null;

/** One function of the C library. It gives what C gives, or the negative errno where that is -1: so no other call can come between. */
export interface Call {
  (...given: Argument[]): number;
  /** On a thread of libuv's pool, for calls that may block. At most {@link ASYNC_CALLS} run at once, the rest wait their turn. */
  later(...given: Argument[]): Promise<number>;
}

/** The bindings that the koffi adapter uses. */
export type Libc = { readonly [name in keyof typeof PROTOTYPES]: Call };

/** koffi throws past 256 asynchronous calls (koffi#255); the pool behind them has four threads, so this many lose nothing. */
export const ASYNC_CALLS = 64;

/** Loads koffi and the bindings, once. undefined where koffi is not installed, does not load, or this machine's C types are not those of a 64-bit Linux. */
export function loadLibc(): Libc | undefined {
  if (loaded === undefined) loaded = { libc: tryLoad() };
  return loaded.libc;
}

/** A path as a binding takes it. EINVAL where it holds a NUL. */
export function toC(path: Path): string | Buffer {
  refuseNul(path, 'open');
  if (typeof path !== 'string') return Buffer.concat([path, NUL]);
  return hasEscapedBytes(path) ? Buffer.concat([bytesOf(path), NUL]) : path;
}

/** Throws the SystemError of a failed call, else hands its result on. */
export function check(result: number, syscall: string, path?: Path): number {
  if (result < 0) throw systemError(result, syscall, path?.toString());
  return result;
}

let loaded: { readonly libc: Libc | undefined } | undefined;

const NUL = Buffer.from([0]);

/** Pointers and `long` of 64 bits, and the generic system call numbers from 424 on. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64', 'ppc64', 's390x'];

/**
 * The new mount calls go through syscall(2): they have the same numbers on every architecture, and C libraries came to have them late
 * (glibc 2.36). A string here is a function's C prototype, a number that of a system call and the types it takes.
 */
const PROTOTYPES = {
  mount: 'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  umount2: 'int umount2(const char *target, int flags)',
  syncfs: 'int syncfs(int fd)',
  statx: 'int statx(int directory, const char *path, int flags, unsigned int mask, void *buffer)',
  mknod: 'int mknod(const char *path, unsigned int mode, unsigned long device)',
  lsetxattr: 'int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)',
  lgetxattr: 'long lgetxattr(const char *path, const char *name, void *value, size_t size)',
  llistxattr: 'long llistxattr(const char *path, void *list, size_t size)',
  utimensat: 'int utimensat(int directory, const char *path, const void *times, int flags)',
  lseek: 'long lseek(int fd, long offset, int whence)',
  openTree: [428, 'int', 'const char *', 'unsigned int'],
  moveMount: [429, 'int', 'const char *', 'int', 'const char *', 'unsigned int'],
  fsopen: [430, 'const char *', 'unsigned int'],
  fsconfig: [431, 'int', 'unsigned int', 'const char *', 'const char *', 'int'],
  fsmount: [432, 'int', 'unsigned int', 'unsigned int'],
  mountSetattr: [442, 'int', 'const char *', 'unsigned int', 'const void *', 'size_t'],
} as const satisfies Record<string, string | readonly [number, ...string[]]>;

function tryLoad(): Libc | undefined {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const library = koffi.load(null);
    const turns = new Turns(ASYNC_CALLS);
    const bind = (prototype: string | readonly [number, ...string[]]): Call => {
      if (typeof prototype === 'string') return makeCall(library.func(prototype), [], () => koffi.errno(), turns);
      const [number, ...types] = prototype;
      return makeCall(library.func('syscall', 'long', ['long', ...types]), [number], () => koffi.errno(), turns);
    };
    return Object.fromEntries(Object.entries(PROTOTYPES).map(([name, prototype]) => [name, bind(prototype)])) as Libc;
  } catch {
    // Not installed (it is an optional dependency), no binary for this machine, or a C library that lacks one of the functions.
    return undefined;
  }
}

interface ForeignFunction {
  (...given: Argument[]): number;
  async(...given: unknown[]): void;
}

function makeCall(foreign: ForeignFunction, first: readonly number[], errno: () => number, turns: Turns): Call {
  const call = (...given: Argument[]): number => {
    const result = first.length === 0 ? foreign(...given) : foreign(...first, ...given);
    return result < 0 ? -errno() : result;
  };
  const later = async (...given: Argument[]): Promise<number> => {
    await turns.take();
    try {
      return await new Promise((resolve, reject) => {
        // errno is that of the call only here, before anything else runs
        foreign.async(...first, ...given, (error: Error | null, result: number) => {
          if (error === null) resolve(result < 0 ? -errno() : result);
          else reject(error);
        });
      });
    } finally {
      turns.give();
    }
  };
  return Object.assign(call, { later });
}

/** A counting semaphore, first come first served. */
class Turns {
  private free: number;
  private readonly waiting: Array<() => void> = [];

  constructor(count: number) {
    this.free = count;
  }

  take(): Promise<void> | undefined {
    if (this.free > 0) {
      this.free -= 1;
      return undefined;
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  give(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free += 1;
    else next();
  }
}
