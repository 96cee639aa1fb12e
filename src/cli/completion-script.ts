import type { Command, Option } from 'commander';
import { usageError } from './report-error.ts';

/** A completion script for `shell`, made from the tree of commands. Fails with INVALID_OPTION for a shell we don't know. */
export function completionScript(program: Command, shell: string): string {
  const make = SHELLS[shell];
  if (make === undefined)
    throw usageError(`no completion for the shell ${JSON.stringify(shell)}; there is one for ${Object.keys(SHELLS).join(', ')}`);
  return make(specify(program));
}

interface Specification {
  readonly globals: readonly Flag[];
  readonly commands: readonly CommandSpecification[];
}

interface CommandSpecification {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** Whether its first argument is a container that exists. */
  readonly takesContainer: boolean;
}

interface Flag {
  readonly name: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

const SHELLS: Readonly<Record<string, (specification: Specification) => string>> = { bash, zsh, fish };

function specify(program: Command): Specification {
  return {
    globals: program.options.map(flagOf),
    commands: program.commands.map((command) => ({
      name: command.name(),
      summary: command.summary(),
      flags: command.options.map(flagOf),
      takesContainer: command.registeredArguments[0]?.name() === 'container' && command.name() !== 'provision',
    })),
  };
}

function flagOf(option: Option): Flag {
  return {
    name: option.long ?? option.short ?? '',
    description: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  };
}

function bash({ globals, commands }: Specification): string {
  const all = [...globals, ...commands.flatMap(({ flags }) => flags)];
  const withChoices = all.filter(({ choices }) => choices.length > 0).map(({ name, choices }) => `    ${name}) words='${choices.join(' ')}' ;;`);
  const withValue = all.filter(({ takesValue, choices }) => takesValue && choices.length === 0).map(({ name }) => name);
  const takesValue = all.filter((flag) => flag.takesValue).map(({ name }) => name);
  return `# bash completion for rootwright
_rootwright() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' arguments=0 words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${unique(takesValue).join('|')}) ((i++)) ;;
    -*) ;;
    *) if [[ -z $command ]]; then command=\${COMP_WORDS[i]}; else ((arguments++)); fi ;;
    esac
  done
  case $previous in
${unique(withChoices).join('\n')}
    ${unique(withValue).join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [[ -z $words ]]; then
    case $command in
    '') words='${[...commands.map(({ name }) => name), 'help', ...globals.map(({ name }) => name)].join(' ')}' ;;
${commands.map(({ name, flags }) => `    ${name}) words='${[...flags, ...globals].map((flag) => flag.name).join(' ')}' ;;`).join('\n')}
    esac
    if [[ $current != -* ]]; then
      case $command/$arguments in
      ${containerCommands(commands)
        .map((name) => `${name}/0`)
        .join('|')}) words=$(rootwright list --json 2>/dev/null | sed -n 's/^      "id": "\\(.*\\)",*$/\\1/p') ;;
      completion/0) words='bash zsh fish' ;;
      */*) [[ -n $command ]] && { COMPREPLY=($(compgen -f -- "$current")); return; } ;;
      esac
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _rootwright rootwright
`;
}

function zsh({ globals, commands }: Specification): string {
  const argument = (flag: Flag): string => {
    const value = flag.takesValue ? `:value:${flag.choices.length > 0 ? `(${flag.choices.join(' ')})` : '_files'}` : '';
    return `'${flag.name}[${flag.description.replaceAll(/['[\]:]/g, ' ')}]${value}'`;
  };
  return `#compdef rootwright
_rootwright_containers() {
  local -a ids
  ids=(\${(f)"$(rootwright list --json 2>/dev/null | sed -n 's/^      "id": "\\(.*\\)",*$/\\1/p')"})
  compadd -a ids
}
_rootwright() {
  local -a commands=(
${commands.map(({ name, summary }) => `    '${name}:${summary.replaceAll("'", ' ')}'`).join('\n')}
  )
  local context state line
  _arguments -C ${globals.map(argument).join(' ')} '1:command:->command' '*::argument:->argument'
  case $state in
  command) _describe command commands ;;
  argument)
    case $line[1] in
${commands
  .map(
    ({ name, flags, takesContainer }) =>
      `    ${name}) _arguments ${[...flags, ...globals].map(argument).join(' ')} ${takesContainer ? "'1:container:_rootwright_containers'" : "'*:file:_files'"} ;;`,
  )
  .join('\n')}
    esac ;;
  esac
}
_rootwright "$@"
`;
}

function fish({ globals, commands }: Specification): string {
  const line = (flag: Flag, condition: string): string =>
    [
      'complete -c rootwright',
      condition,
      `-l ${flag.name.replace(/^--/, '')}`,
      flag.takesValue ? (flag.choices.length > 0 ? `-x -a '${flag.choices.join(' ')}'` : '-r') : '',
      `-d '${flag.description.replaceAll("'", "\\'")}'`,
    ]
      .filter((part) => part !== '')
      .join(' ');
  return [
    '# fish completion for rootwright',
    ...globals.map((flag) => line(flag, '')),
    ...commands.map(({ name, summary }) => `complete -c rootwright -f -n __fish_use_subcommand -a ${name} -d '${summary.replaceAll("'", "\\'")}'`),
    ...commands.flatMap(({ name, flags }) => flags.map((flag) => line(flag, `-n '__fish_seen_subcommand_from ${name}'`))),
    ...containerCommands(commands).map(
      (name) =>
        `complete -c rootwright -f -n '__fish_seen_subcommand_from ${name}' -a "(rootwright list --json 2>/dev/null | string match -rg '^      \\"id\\": \\"(.*)\\",?$')"`,
    ),
    "complete -c rootwright -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'",
    '',
  ].join('\n');
}

function containerCommands(commands: readonly CommandSpecification[]): string[] {
  return commands.filter(({ takesContainer }) => takesContainer).map(({ name }) => name);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
