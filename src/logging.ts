import type { Logger as PinoLogger } from 'pino';

/** What the engine needs of a logger; a pino logger is one. The first argument of a call holds facts, the second says what happened. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(bindings: Readonly<Record<string, unknown>>): Logger;
}

/** Says nothing; the default of the library. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

export interface LoggerOptions {
  readonly level?: 'debug' | 'info' | 'warn' | 'error';
  /** A file descriptor; 2 (standard error) by default, so that standard output stays the command's own. */
  readonly fd?: number;
  /** Takes each line instead of the file descriptor. */
  readonly write?: (line: string) => void;
}

/**
 * A pino logger that writes JSON lines, synchronously so that the last line before a crash is not lost, and hides secrets
 * ({@link redactSecrets}). pino is loaded on the first call only.
 */
export async function createLogger(options: LoggerOptions = {}): Promise<PinoLogger> {
  const { destination, pino, stdSerializers } = await import('pino');
  const logger = pino(
    {
      name: 'rootwright',
      level: options.level ?? 'info',
      serializers: { err: stdSerializers.errWithCause },
      formatters: { level: (level) => ({ level }), log: (facts) => redactSecrets(facts) },
    },
    options.write === undefined ? destination({ fd: options.fd ?? 2, sync: true }) : { write: options.write },
  );
  return hideSecretsInBindings(logger);
}

/** pino's formatters do not see the bindings of children. Its children inherit from their parent, so this holds for all of them. */
function hideSecretsInBindings(logger: PinoLogger): PinoLogger {
  const plain = Object.getPrototypeOf(logger) as PinoLogger;
  logger.child = function (this: PinoLogger, ...[bindings, ...rest]: Parameters<PinoLogger['child']>) {
    return plain.child.call(this, redactSecrets(bindings), ...rest);
  } as PinoLogger['child'];
  return logger;
}

const SECRET_KEY = /^(?:proxy-)?authorization$|password|passwd|secret|token$|^auths?$|credentials?$|^cookie$|api[-_]?key$/i;
const REDACTED = '[redacted]';
const DEPTH_MAX = 12;

/**
 * A copy of `facts` in which the value of every key that names a secret (authorization, password, token, auth, …) at any depth reads
 * `[redacted]`. Errors and class instances are passed on as they are, for pino's serializers.
 */
export function redactSecrets<T extends object>(facts: T): T {
  return redact(facts, 0) as T;
}

function redact(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > DEPTH_MAX) return '[too deep]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (depth > 0 && prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, SECRET_KEY.test(key) && item !== undefined ? REDACTED : redact(item, depth + 1)]),
  );
}
