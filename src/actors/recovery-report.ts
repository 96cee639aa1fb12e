import type { FoundRootfs, RootfsVerdict } from './recovery-plan.ts';

/** One thing that recovery found, what it did (or would do), and why. */
export interface RecoveryItem {
  readonly container?: string;
  readonly rootfs?: string;
  readonly path?: string;
  readonly found: string;
  readonly action: string;
  readonly why: string;
}

/** What a recovery found and did. With `plan` it only says what it would do. */
export interface RecoveryReport {
  readonly plan: boolean;
  /** Ids of the containers that stay, parents first. */
  readonly kept: readonly string[];
  /** Containers taken apart. */
  readonly destroyed: readonly RecoveryItem[];
  /** What was put right in containers that stay. */
  readonly repaired: readonly RecoveryItem[];
  /** Rootfses of kept containers whose mount is gone, as after a reboot: destroy them and provision again. */
  readonly unmounted: readonly RecoveryItem[];
  /** What was damaged and set aside. */
  readonly quarantined: readonly RecoveryItem[];
  /** What was left alone, but an operator should know of: strays, unknown backends, unknown layers. */
  readonly reported: readonly RecoveryItem[];
  /** What could not be put right; the next recovery tries again. */
  readonly failed: ReadonlyArray<RecoveryItem & { readonly error?: unknown }>;
  /** Leftovers that the stores swept. */
  readonly swept: readonly string[];
  readonly durationMs: number;
}

/** Gathers a {@link RecoveryReport}. */
export class RecoveryNotes {
  readonly plan: boolean;
  readonly #kept: string[] = [];
  readonly #destroyed: RecoveryItem[] = [];
  readonly #repaired: RecoveryItem[] = [];
  readonly #unmounted: RecoveryItem[] = [];
  readonly #quarantined: RecoveryItem[] = [];
  readonly #reported: RecoveryItem[] = [];
  readonly #failed: Array<RecoveryItem & { readonly error?: unknown }> = [];
  readonly #swept: string[] = [];

  constructor(plan: boolean) {
    this.plan = plan;
  }

  kept(id: string): void {
    this.#kept.push(id);
  }

  destroyed(item: RecoveryItem): void {
    this.#destroyed.push(item);
  }

  repaired(item: RecoveryItem): void {
    this.#repaired.push(item);
  }

  unmounted(item: RecoveryItem): void {
    this.#unmounted.push(item);
  }

  quarantined(item: RecoveryItem): void {
    this.#quarantined.push(item);
  }

  reported(item: RecoveryItem): void {
    this.#reported.push(item);
  }

  failed(item: RecoveryItem, error: unknown): void {
    this.#failed.push(error === undefined ? item : { ...item, error });
  }

  swept(paths: readonly string[]): void {
    this.#swept.push(...paths);
  }

  report(durationMs: number): RecoveryReport {
    return {
      plan: this.plan,
      kept: this.#kept,
      destroyed: this.#destroyed,
      repaired: this.#repaired,
      unmounted: this.#unmounted,
      quarantined: this.#quarantined,
      reported: this.#reported,
      failed: this.#failed,
      swept: this.#swept,
      durationMs,
    };
  }
}

/** A rootfs as recovery found it, in words. */
export function describeRootfs({ id, backend }: Pick<FoundRootfs, 'id' | 'backend'>, verdict: RootfsVerdict): string {
  const words = {
    whole: 'a whole rootfs',
    unmounted: 'a rootfs no longer mounted',
    interrupted: 'an interrupted rootfs',
    missing: 'a rootfs whose directory is missing',
  };
  return `${words[verdict]} (${backend} ${id})`;
}
