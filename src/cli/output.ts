import { type Style, styleFor } from './style.ts';
import type { ColorChoice } from './style.ts';

/** The version of the JSON documents. It grows when a field goes or changes its meaning, not when one is added. */
export const JSON_SCHEMA = 1;

/** Where a command's words go: data to standard output, everything else to standard error. */
export class Output {
  readonly json: boolean;
  readonly style: Style;
  readonly noteStyle: Style;
  readonly #quiet: boolean;
  #statusLines: StatusLines | undefined;

  constructor(options: { json: boolean; quiet: boolean; color: ColorChoice }) {
    this.json = options.json;
    this.#quiet = options.quiet;
    this.style = styleFor(process.stdout, options.color, process.env);
    this.noteStyle = styleFor(process.stderr, options.color, process.env);
  }

  /** Prints a command's result: `document` as JSON, or the text for people. */
  result(document: Readonly<Record<string, unknown>>, text: () => string): void {
    this.#statusLines?.clear();
    process.stdout.write(this.json ? `${JSON.stringify({ schema: JSON_SCHEMA, ...document }, undefined, 2)}\n` : text());
  }

  /** Says something about the work on standard error, unless told to be quiet. */
  note(text: string): void {
    if (!this.#quiet) this.error(text);
  }

  /** Says on standard error what even a quiet command must say. */
  error(text: string): void {
    this.#statusLines?.clear();
    process.stderr.write(`${text}\n`);
    this.#statusLines?.draw();
  }

  /** Names what redraws lines at the bottom of the terminal: it is cleared before anything else is written, and drawn again below. */
  attach(statusLines: StatusLines | undefined): void {
    this.#statusLines = statusLines;
  }
}

export interface StatusLines {
  clear(): void;
  draw(): void;
}
