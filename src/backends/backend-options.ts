import type { Kernel } from '../linux/kernel.ts';

/** What every backend is made from. */
export interface BackendOptions {
  readonly kernel: Kernel;
  /** Hears of errors that did not stop the work: a clean-up that failed beside the failure that is thrown, an attribute that could not be kept. */
  readonly onSwallowed?: OnSwallowed;
}

/** `what` names what was tried, with its path. */
export type OnSwallowed = (what: string, error: unknown) => void;
