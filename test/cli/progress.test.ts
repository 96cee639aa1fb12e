import { describe, expect, it } from 'vitest';
import { PlainProgress } from '../../src/cli/progress/plain-progress.ts';
import { TerminalProgress } from '../../src/cli/progress/terminal-progress.ts';
import { styleFor } from '../../src/cli/style.ts';
import type { PullProgress } from '../../src/stores/store.ts';

const plain = styleFor({}, 'never', {});

describe('PlainProgress', () => {
  it('says one line for each layer, when it is finished', () => {
    const lines: string[] = [];
    const progress = new PlainProgress((line) => lines.push(line));
    for (const event of [layer('a', 'waiting'), layer('a', 'unpacking', 50), layer('a', 'done', 100), layer('a', 'done', 100), layer('b', 'exists')])
      progress.update(event);
    expect(lines).toEqual(['layer aaaaaaaaaaaa: unpacked, 100 B', 'layer bbbbbbbbbbbb: present already']);
  });
});

describe('TerminalProgress', () => {
  it('draws a line for each layer and takes all of them away at the end', () => {
    const { screen, progress } = start();
    progress.update(layer('a', 'unpacking', 50));
    progress.update(layer('b', 'waiting'));
    progress.update(layer('c', 'done', 100));
    progress.draw();
    expect(screen.lines()).toEqual([
      'aaaaaaaaaaaa  [====================                    ]  50%  50 B of 100 B',
      'bbbbbbbbbbbb  waiting',
      'cccccccccccc  unpacked  100 B',
    ]);
    progress.end();
    expect(screen.lines()).toEqual([]);
  });

  it('redraws in place', () => {
    const { screen, progress } = start();
    for (const bytes of [10, 60]) {
      progress.clear();
      progress.update(layer('a', 'unpacking', bytes));
      progress.draw();
    }
    expect(screen.lines()).toHaveLength(1);
    expect(screen.lines()[0]).toContain('60%');
  });

  it('keeps text that others write above its lines', () => {
    const { screen, progress } = start();
    progress.update(layer('a', 'waiting'));
    progress.draw();
    progress.clear();
    screen.write('a note\n');
    progress.draw();
    expect(screen.lines()).toEqual(['a note', 'aaaaaaaaaaaa  waiting']);
  });

  it('fits a narrow and a low terminal', () => {
    const narrow = start({ columns: 24 });
    narrow.progress.update(layer('a', 'unpacking', 50));
    narrow.progress.draw();
    expect(narrow.screen.lines()[0]?.length).toBeLessThan(24);

    const low = start({ rows: 5 });
    for (const name of 'abcdefgh') low.progress.update(layer(name, name < 'c' ? 'done' : 'unpacking', 10));
    low.progress.draw();
    expect(low.screen.lines()).toHaveLength(3);
    expect(low.screen.lines()[2]).toBe('2 of 8 layers finished');
  });

  it('survives sizes that are not known or wrong', () => {
    const { screen, progress } = start({ columns: 0, rows: 0 });
    progress.update({ ...layer('a', 'unpacking', 5), totalBytes: 0 });
    progress.update(layer('b', 'unpacking', 500));
    progress.draw();
    expect(screen.lines()[0]).toContain('  0%');
    expect(screen.lines()[1]).toContain('100%');
  });
});

function start(size: { columns?: number; rows?: number } = {}): { screen: Screen; progress: TerminalProgress } {
  const screen = new Screen(size);
  return { screen, progress: new TerminalProgress(screen, plain) };
}

function layer(name: string, state: PullProgress['state'], bytes = 0): PullProgress {
  return { image: 'oci:/x', layer: `sha256:${name.repeat(64)}`, state, bytes, totalBytes: 100 };
}

const ESCAPE = '\u001b[';
const SEQUENCES = new RegExp(`(\\n|\\r|${ESCAPE.replace('[', '\\[')}\\d*[AJ])`);

/** As much of a terminal as the progress uses: new lines, cursor up, erase to the end. */
class Screen {
  readonly columns: number;
  readonly rows: number;
  #lines: string[] = [];
  #row = 0;

  constructor({ columns = 100, rows = 24 }: { columns?: number; rows?: number }) {
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    for (const part of text.split(SEQUENCES)) {
      if (part === '\n') this.#row += 1;
      else if (part.startsWith(ESCAPE) && part.endsWith('A')) this.#row -= Number(part.slice(ESCAPE.length, -1));
      else if (part === `${ESCAPE}J`) this.#lines = this.#lines.slice(0, this.#row);
      else if (part !== '\r' && part !== '') this.#lines[this.#row] = part;
      if (this.#row < 0) throw new Error('the cursor left the screen');
    }
  }

  lines(): string[] {
    return this.#lines;
  }
}
