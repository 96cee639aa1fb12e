import { describe, expect, it } from 'vitest';
import { CommandLine } from '../../src/cli/command-line.ts';
import { createProgram } from '../../src/cli/program.ts';
import { packageVersion } from '../../src/cli/version.ts';
import { runCli } from './run-cli.ts';

const program = createProgram(new CommandLine([]));
const commands = program.commands.map((command) => command.name());

describe('rootwright --help', () => {
  it('names every command', async () => {
    const { status, stdout, stderr } = await runCli(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} .+$`, 'm'));
  });

  it('stands instead of a command, as a wrong use', async () => {
    const { status, stdout, stderr } = await runCli([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: rootwright');
  });

  it('prints the version of the package', async () => {
    expect(await runCli(['--version'])).toMatchObject({ status: 0, stdout: `${packageVersion()}\n` });
  });

  it.each(commands)('%s --help has a description and examples that parse', async (name) => {
    const { status, stdout, stderr } = await runCli([name, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: rootwright ${name} `));
    expect(stdout).toContain('\nExamples:\n  # ');
    expect(stdout).toContain('--root <directory>');
    const examples = [...stdout.matchAll(/^ {2}\$ rootwright ([^|<>&\n]+)/gm)].map(([, line = '']) => words(line));
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) expect(() => parseOnly(example)).not.toThrow();
  });

  it('no line is wider than a usual terminal is made today', async () => {
    for (const name of commands) {
      const { stdout } = await runCli([name, '--help']);
      expect(stdout.split('\n').filter((line) => line.length > 140)).toEqual([]);
    }
  });
});

describe('a wrong use', () => {
  it.each([
    ['an unknown command', ['lsit'], /unknown command 'lsit'.*Did you mean list\?/],
    ['an unknown option', ['list', '--jsno'], /unknown option '--jsno'.*Did you mean --json\?/],
    ['a missing argument', ['destroy'], /missing required argument 'container'/],
    ['too many arguments', ['list', 'web'], /too many arguments/],
    ['a value that is no choice', ['provision', 'a', 'oci:x', '--backend', 'zfs'], /Allowed choices are overlay, aufs, bind, copy/],
    ['a wait that is no number', ['list', '--wait', 'soon'], /--wait "soon" is no number of seconds/],
    ['a negative wait', ['list', '--wait=-1'], /--wait "-1" is no number of seconds/],
    ['an empty root', ['list', '--root', ''], /empty string/],
    ['a platform without architecture', ['pull', 'oci:x', '--platform', 'linux'], /os\/architecture/],
    ['a shell that has no completion', ['completion', 'csh'], /bash, zsh, fish/],
  ])('%s: status 2, and it says why', async (_what, args, message) => {
    const { status, stdout, stderr } = await runCli(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^error: /);
    expect(stderr.replaceAll('\n', ' ')).toMatch(message);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  it('is one JSON document with --json', async () => {
    const { status, stdout, stderr } = await runCli(['list', '--jsno', '--json']);
    expect({ status, stderr }).toEqual({ status: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, error: { code: 'INVALID_OPTION' } });
  });
});

/** Parses a command line of an example without running it. */
function parseOnly(args: readonly string[]): void {
  const fresh = createProgram(new CommandLine([]));
  for (const command of fresh.commands) command.action(() => undefined);
  fresh.parse(args, { from: 'user' });
}

function words(line: string): string[] {
  return line
    .trim()
    .split(/\s+/)
    .map((word) => word.replaceAll(/["']/g, ''));
}
