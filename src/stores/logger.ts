import type { Logger } from '../logging.ts';

/** What a store needs of a logger: pino's, or anything of that shape. */
export type StoreLogger = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

const nothing = (): void => undefined;

/** Where no logger is given. */
export const SILENT: StoreLogger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
