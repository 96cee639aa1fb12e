import type { Disk } from './disk.ts';

/**
 * One comparison: some contenders do the same work on the same disk, in turns (A B C A B C …), and each row of the table sets two of them
 * side by side. The first contender is always rootwright.
 */
export interface Experiment {
  readonly name: string;
  readonly rows: readonly Row[];
  /** Timed rounds; one more goes before them and is not counted. */
  readonly rounds: number;
  /** Sets up those of `wanted`; a peer that is not installed is left out and its rows say so. */
  prepare(bench: Bench, wanted: ReadonlySet<string>): Promise<Contender[]>;
}

/** One row of the table. */
export interface Row {
  readonly name: string;
  readonly work: string;
  /** Which contender is ours; 'rootwright' where nothing else is said. */
  readonly ours?: string;
  /** Which contender to compare with; undefined where the bound is a figure of its own. */
  readonly theirs?: string;
  /** At most this many times theirs, or at most this value in the unit of the experiment. */
  readonly bound: number;
  readonly unit: Unit;
}

export type Unit = 's' | 'us' | 'MB';

/** One who does the work. */
export interface Contender {
  readonly name: string;
  /** Why it can't take part; `run` is then never called. */
  readonly missing?: string;
  /** Does the work once and gives its figure, in the unit of the row. */
  run(): Promise<number>;
  /** What else there is to tell after the rounds: versions, sizes, times of a sync. */
  notes?(): string[];
  close?(): Promise<void>;
}

/** What an experiment may use. */
export interface Bench {
  readonly disk: Disk;
  /** The directory of make-images.sh. */
  readonly images: string;
  /** Compiled programs of bench/peers. */
  readonly programs: { readonly ovl: string; readonly ctrbench: string | undefined };
  log(line: string): void;
}

/** The median; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
