import type { PullProgress } from '../../stores/store.ts';
import type { StatusLines } from '../output.ts';
import type { Style } from '../style.ts';
import { formatBytes, shortDigest } from '../text.ts';
import { LayerStates, isFinal } from './layer-states.ts';

/** The part of a terminal that the lines are drawn on. A size of 0, as some pseudo terminals have, is as good as none. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/**
 * Progress for a terminal: a line for each layer, redrawn in place at most ten times a second. Whoever writes to the same terminal calls
 * `clear` first and `draw` afterwards; `end` takes the lines away, since the command's result says what was done.
 */
export class TerminalProgress implements StatusLines {
  readonly #states = new LayerStates();
  readonly #terminal: Terminal;
  readonly #style: Style;
  readonly #timer: NodeJS.Timeout;
  #drawnLines = 0;
  #stale = false;

  constructor(terminal: Terminal, style: Style) {
    this.#terminal = terminal;
    this.#style = style;
    this.#timer = setInterval(() => this.#redrawStale(), REDRAW_MS);
    this.#timer.unref();
  }

  update(progress: PullProgress): void {
    this.#states.update(progress);
    this.#stale = true;
  }

  draw(): void {
    const lines = this.#lines();
    this.#terminal.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawnLines = lines.length;
    this.#stale = false;
  }

  clear(): void {
    // Up to the first of our lines, then erase to the end of the screen (ECMA-48 CUU, ED).
    if (this.#drawnLines > 0) this.#terminal.write(`\u001b[${this.#drawnLines}A\r\u001b[J`);
    this.#drawnLines = 0;
  }

  end(): void {
    clearInterval(this.#timer);
    this.clear();
  }

  #redrawStale(): void {
    if (!this.#stale) return;
    this.clear();
    this.draw();
  }

  /** Layers at work come first where the terminal is too low for all; the last line then counts the others. */
  #lines(): string[] {
    const layers = this.#states.all();
    const room = Math.max(1, (this.#terminal.rows || DEFAULT_ROWS) - 2);
    if (layers.length <= room) return layers.map((layer) => this.#line(layer));
    const atWork = layers.filter((layer) => layer.state === 'unpacking').slice(0, room - 1);
    const finished = layers.filter(isFinal).length;
    return [...atWork.map((layer) => this.#line(layer)), `${finished} of ${layers.length} layers finished`];
  }

  #line(layer: PullProgress): string {
    const name = `${shortDigest(layer.layer)}  `;
    if (layer.state === 'waiting') return name + this.#style('dim', 'waiting');
    if (layer.state === 'exists') return name + this.#style('dim', 'present already');
    if (layer.state === 'done') return `${name}${this.#style('green', 'unpacked')}  ${formatBytes(layer.totalBytes)}`;
    // A line that wraps would spoil the count of lines to clear.
    return name + this.#bar(layer, (this.#terminal.columns || DEFAULT_COLUMNS) - 1 - name.length);
  }

  #bar({ bytes, totalBytes }: PullProgress, room: number): string {
    const share = totalBytes > 0 ? Math.min(1, bytes / totalBytes) : 0;
    const figures = `${String(Math.floor(share * 100)).padStart(3)}%  ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`;
    const width = Math.min(MAXIMUM_BAR, room - figures.length - '[] '.length);
    if (width < MINIMUM_BAR) return figures.slice(0, Math.max(0, room));
    const filled = Math.round(share * width);
    return `[${this.#style('cyan', '='.repeat(filled))}${' '.repeat(width - filled)}] ${figures}`;
  }
}

const REDRAW_MS = 100;
const DEFAULT_ROWS = 24;
const DEFAULT_COLUMNS = 80;
const MINIMUM_BAR = 8;
const MAXIMUM_BAR = 40;
