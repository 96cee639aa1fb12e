import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { RecoveryItem, RecoveryReport } from '../../actors/recovery-report.ts';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { EXIT } from '../exit-codes.ts';
import { withEngine } from '../session.ts';
import { type Cell, formatTable } from '../table.ts';
import { count } from '../text.ts';

/** `rootwright recover`: puts the directory in order after a crash. */
export function addRecover(program: Command, cli: CommandLine): void {
  program
    .command('recover')
    .summary('put the directory in order after a crash')
    .description(
      'Finishes what was interrupted: half-made and half-destroyed root filesystems go, whole ones stay, leftovers are swept, damage is set ' +
        'aside. With --known or --known-file every container that is not named is destroyed. Prints what it found and did. ' +
        'Ends with status 6 where --plan found something to do, and 1 where something could not be put right.',
    )
    .option('--known <id>', 'a container that still exists; may be given several times', (id: string, ids: string[] | undefined) => [
      ...(ids ?? []),
      id,
    ])
    .option('--known-file <file>', "a file with ids of containers that still exist, separated by white space; '-' is standard input")
    .option('--plan', 'only tell what would be done')
    .addHelpText(
      'after',
      examples(
        ['recover --plan', 'look first'],
        ['recover', 'after a crash: every container that is whole stays'],
        ['recover --known web --known db', 'destroy all but these'],
        ['recover --known-file - < running-containers', 'the same, from a list'],
      ),
    )
    .action(async (options: { known?: string[]; knownFile?: string; plan?: boolean }) => {
      const { plan = false } = options;
      const known = knownOf(options);
      const report = await withEngine(cli, (engine) => engine.recover({ plan, ...(known === undefined ? {} : { known }) }, cli.signal), {
        recover: false,
      });
      cli.output.result({ report: withErrorsAsText(report) }, () => formatReport(report, cli));
      if (report.failed.length > 0) cli.exitCode = EXIT.failure;
      else if (plan && rowsOf(report).some(({ kind }) => kind !== 'unmounted' && kind !== 'reported')) cli.exitCode = EXIT.recoveryNeeded;
    });
}

/** Undefined where neither option is given; an empty list means that no container is known. */
function knownOf({ known, knownFile }: { known?: string[]; knownFile?: string }): string[] | undefined {
  if (knownFile === undefined) return known;
  const text = readFileSync(knownFile === '-' ? 0 : knownFile, 'utf8');
  return [...(known ?? []), ...text.split(/\s+/).filter((id) => id !== '')];
}

interface ReportRow extends RecoveryItem {
  readonly kind: 'destroyed' | 'repaired' | 'unmounted' | 'quarantined' | 'reported' | 'failed' | 'swept';
}

function rowsOf(report: RecoveryReport): ReportRow[] {
  const kinds = ['destroyed', 'repaired', 'quarantined', 'failed', 'unmounted', 'reported'] as const;
  return [
    ...kinds.flatMap((kind) => report[kind].map((item) => ({ kind, ...item }))),
    ...report.swept.map((path) => ({ kind: 'swept' as const, path, found: 'left over in the store', action: 'remove', why: 'nothing uses it' })),
  ];
}

function formatReport(report: RecoveryReport, cli: CommandLine): string {
  const rows = rowsOf(report);
  cli.output.note(
    `${report.plan ? 'plan only: ' : ''}${count(report.kept.length, 'container')} kept, ${rows.length === 0 ? 'nothing to do' : count(rows.length, 'finding')}`,
  );
  if (rows.length === 0) return '';
  return formatTable(
    ['', 'CONTAINER', 'FOUND', 'ACTION', 'WHY'],
    rows.map((row): Cell[] => [
      { text: row.kind, format: row.kind === 'failed' ? 'red' : row.kind === 'quarantined' ? 'yellow' : 'reset' },
      row.container ?? '-',
      row.path === undefined ? row.found : `${row.found}: ${row.path}`,
      row.action,
      row.why,
    ]),
    cli.output.style,
  );
}

/** Errors have no fields that JSON sees. */
function withErrorsAsText(report: RecoveryReport): object {
  return {
    ...report,
    failed: report.failed.map(({ error, ...item }) => ({ ...item, error: error instanceof Error ? error.message : String(error) })),
  };
}
