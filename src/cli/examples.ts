/** The examples at the end of a command's help: command lines, each with what it is for. */
export function examples(...lines: ReadonlyArray<readonly [command: string, purpose: string]>): string {
  return ['', 'Examples:', ...lines.flatMap(([command, purpose]) => [`  # ${purpose}`, `  $ rootwright ${command}`])].join('\n');
}
