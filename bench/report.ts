import { readFileSync, writeFileSync } from 'node:fs';
import { median, type Row, type Unit } from './experiment.ts';

/** One finished row. */
export interface Result {
  readonly row: Row;
  /** Ours and theirs: every round, in the unit of the row. */
  readonly ours: readonly number[];
  readonly theirs?: readonly number[];
  /** Why there is nothing to compare with. */
  readonly missing?: string;
}

/** The line of the table: row, work, against, ours, theirs, ratio, bound, verdict. */
export function tableLine({ row, ours, theirs, missing }: Result): string {
  const mine = median(ours);
  const other = theirs === undefined ? undefined : median(theirs);
  const measured = other === undefined ? mine : mine / other;
  const verdict = missing !== undefined ? missing : measured <= row.bound ? 'met' : '**missed**';
  return `| ${[
    row.name,
    row.work,
    row.theirs ?? '–',
    span(ours, row.unit),
    theirs === undefined ? '–' : span(theirs, row.unit),
    other === undefined ? '–' : `${measured.toFixed(2)}×`,
    row.theirs === undefined ? show(row.bound, row.unit) : `${row.bound}×`,
    verdict,
  ].join(' | ')} |`;
}

/** Puts the lines into the document between its markers: a line replaces the one of the same row, others stay as they are. */
export function updateDocument(path: string, lines: readonly string[]): void {
  const document = readFileSync(path, 'utf8');
  const [before, rest] = splitAt(document, BEGIN);
  const [table, after] = splitAt(rest, END);
  const old = table.split('\n').filter((line) => line.startsWith('| ') && !HEADER.includes(line));
  const rows = new Map([...old, ...lines].map((line) => [line.split('|')[1]?.trim(), line]));
  writeFileSync(path, [before + BEGIN, ...HEADER, ...rows.values(), END + after].join('\n'));
}

/** A value for people, with its unit. */
export function show(value: number, unit: Unit): string {
  if (unit === 'MB') return `${value.toFixed(0)} MB`;
  const seconds = unit === 's' ? value : value / 1e6;
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(2)} µs`;
}

/** Median and, in brackets, least and most. */
function span(values: readonly number[], unit: Unit): string {
  if (values.length < 2) return show(median(values), unit);
  return `${show(median(values), unit)} [${show(Math.min(...values), unit)} … ${show(Math.max(...values), unit)}]`;
}

function splitAt(text: string, marker: string): [string, string] {
  const at = text.indexOf(marker);
  if (at < 0) throw new Error(`no line ${marker} in the document`);
  return [text.slice(0, at), text.slice(at + marker.length)];
}

const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';
const HEADER = ['| row | work | against | ours | theirs | ratio | bound | |', '| --- | --- | --- | --- | --- | --- | --- | --- |'];
