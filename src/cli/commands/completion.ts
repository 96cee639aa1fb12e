import type { Command } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';

/** `rootwright completion`: a completion script, made from the commands themselves. */
export function addCompletion(program: Command, cli: CommandLine): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Prints a script that completes commands, options, their values, and the ids of containers.')
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText(
      'after',
      examples(
        ['completion bash > /etc/bash_completion.d/rootwright', 'bash, for everybody'],
        ['completion zsh > "${fpath[1]}/_rootwright"', 'zsh'],
        ['completion fish > ~/.config/fish/completions/rootwright.fish', 'fish'],
      ),
    )
    .action(async (shell: string) => {
      const { completionScript } = await import('../completion-script.ts');
      const script = completionScript(program, shell);
      cli.output.result({ shell, script }, () => script);
    });
}
