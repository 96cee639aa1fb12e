import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandLine } from '../../src/cli/command-line.ts';
import { completionScript } from '../../src/cli/completion-script.ts';
import { createProgram } from '../../src/cli/program.ts';
import { repository } from '../support/repository.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { MAIN, runCli } from './run-cli.ts';

const program = createProgram(new CommandLine([]));

describe('bash completion', () => {
  it.each([
    ['commands', ['pro'], ['provision']],
    ['options of a command', ['prune', '--e'], ['--exclude']],
    ['options that every command takes', ['list', '--js'], ['--json']],
    ['values that are few', ['provision', 'web', 'oci:x', '--backend', ''], ['overlay', 'aufs', 'bind', 'copy']],
    ['shells', ['completion', ''], ['bash', 'zsh', 'fish']],
    ['an option before the command', ['--root', '/x', 'des'], ['destroy']],
  ])('completes %s', (_what, words, expected) => {
    expect(complete(words)).toEqual(expected);
  });

  it('completes containers that exist', async () => {
    const root = temporaryDirectory('cli');
    const image = `oci:${join(repository, 'examples/demo/image')}`;
    for (const id of ['web', 'web.debug', 'db']) await runCli(['provision', id, image, '--backend', 'copy', '--root', root]);
    expect(complete(['destroy', 'w'], { ROOTWRIGHT_ROOT: root })).toEqual(['web', 'web.debug']);
  });
});

describe('other shells', () => {
  it.each(['zsh', 'fish'])('%s: names every command and option', (shell) => {
    const script = completionScript(program, shell);
    for (const command of program.commands) {
      expect(script).toContain(command.name());
      for (const option of command.options) expect(script).toContain(option.long?.replace('--', ''));
    }
  });
});

/** What bash offers for the last of `words`. */
function complete(words: readonly string[], env: Record<string, string> = {}): string[] {
  const directory = temporaryDirectory('completion');
  const executable = join(directory, 'rootwright');
  writeFileSync(executable, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(executable, 0o755);
  const script = `${completionScript(program, 'bash')}
COMP_WORDS=(rootwright "$@"); COMP_CWORD=$#; _rootwright; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['--norc', '-c', script, 'bash', ...words], {
    encoding: 'utf8',
    env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, ...env },
  });
  return output.split('\n').filter((line) => line !== '');
}
