import type { Style } from './style.ts';
import { printable } from './text.ts';

/** One cell: text, or text with the format to show it in. Formats do not count for the width. */
export type Cell = string | number | { readonly text: string; readonly format: Parameters<Style>[0] };

/** Lines of aligned columns, two spaces between, numbers to the right. The last column is not padded. */
export function formatTable(header: readonly string[], rows: ReadonlyArray<readonly Cell[]>, style: Style): string {
  const widths = header.map((title, column) => Math.max(width(title), ...rows.map((row) => width(textOf(row[column])))));
  const lines = [header.map((title) => ({ text: title, format: 'bold' as const })), ...rows];
  return lines.map((line) => `${line.map((cell, column) => pad(cell, column)).join('  ')}\n`).join('');

  function pad(cell: Cell, column: number): string {
    const text = textOf(cell);
    const room = ' '.repeat(Math.max(0, (widths[column] ?? 0) - width(text)));
    const shown = typeof cell === 'object' ? style(cell.format, text) : text;
    if (isNumeric(column)) return room + shown;
    return column === header.length - 1 ? shown : shown + room;
  }

  function isNumeric(column: number): boolean {
    return rows.length > 0 && rows.every((row) => typeof row[column] === 'number');
  }
}

function textOf(cell: Cell | undefined): string {
  return printable(String(typeof cell === 'object' ? cell.text : (cell ?? '')));
}

/** Code points: enough for ids, digests and paths. */
function width(text: string): number {
  return Array.from(text).length;
}
