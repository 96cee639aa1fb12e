import type { PullProgress } from '../../stores/store.ts';
import { formatBytes, shortDigest } from '../text.ts';
import { LayerStates } from './layer-states.ts';

/** Progress for files and pipes: one line for each finished layer. */
export class PlainProgress {
  readonly #states = new LayerStates();
  readonly #note: (line: string) => void;

  constructor(note: (line: string) => void) {
    this.#note = note;
  }

  update(progress: PullProgress): void {
    if (!this.#states.update(progress)) return;
    const what = progress.state === 'exists' ? 'present already' : `unpacked, ${formatBytes(progress.totalBytes)}`;
    this.#note(`layer ${shortDigest(progress.layer)}: ${what}`);
  }
}
