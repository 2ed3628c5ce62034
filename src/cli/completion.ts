// Completion scripts, made from the command's own definition so that they never fall behind it.
// Options that take a file or a socket complete files.
import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Entry {
  /** The words after `varve`, for example `config dump`; '' for varve itself. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly { readonly name: string; readonly description: string }[];
}

/** The script for a shell. */
export function completionScript(program: Command, shell: Shell): string {
  const entries = entriesOf(program, '');
  switch (shell) {
    case 'bash':
      return bashScript(entries);
    case 'zsh':
      return zshScript(entries);
    case 'fish':
      return fishScript(entries);
  }
}

function entriesOf(command: Command, path: string): readonly Entry[] {
  const own: Entry = {
    path,
    subcommands: command.commands.map((child) => ({
      name: child.name(),
      description: child.description(),
    })),
    options: [
      ...command.options.map((option) => ({
        name: option.long ?? option.short ?? '',
        description: option.description,
      })),
      { name: '--help', description: 'show the help' },
    ],
  };
  const below = command.commands.flatMap((child) =>
    entriesOf(child, path === '' ? child.name() : `${path} ${child.name()}`),
  );
  return [own, ...below];
}

/** What may follow; `completion` takes a shell, which is an argument. */
function words(entry: Entry): string {
  const names = entry.subcommands.map(({ name }) => name);
  const shellNames = entry.path === 'completion' ? shells : [];
  return [...names, ...shellNames, ...entry.options.map(({ name }) => name)].join(' ');
}

const groupNames = (entries: readonly Entry[]): string =>
  entries
    .filter((entry) => entry.path !== '' && entry.subcommands.length > 0)
    .map((entry) => entry.path)
    .join('|');

// The first words that are no options name the command; a group takes two of them.
const findPath = (entries: readonly Entry[], array: string, count: string): string => `
  local command_path="" word index
  for ((index = ${array}; index < ${count}; index++)); do
    word="\${words[index]}"
    [[ $word == -* ]] && continue
    case "$command_path" in
      "") command_path="$word" ;;
      ${groupNames(entries)}) command_path="$command_path $word"; break ;;
      *) break ;;
    esac
  done`;

const cases = (entries: readonly Entry[]): string =>
  entries.map((entry) => `    "${entry.path}") candidates="${words(entry)}" ;;`).join('\n');

function bashScript(entries: readonly Entry[]): string {
  const find = findPath(entries, '1', 'COMP_CWORD');
  return `# bash completion for varve; load it with: source <(varve completion bash)
_varve() {
  local words=("\${COMP_WORDS[@]}")
  local current="\${COMP_WORDS[COMP_CWORD]}" candidates=""${find}
  case "$command_path" in
${cases(entries)}
  esac
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -o default -F _varve varve
`;
}

function zshScript(entries: readonly Entry[]): string {
  return `#compdef varve
# zsh completion for varve; load it with: source <(varve completion zsh)
_varve() {
  local candidates=""${findPath(entries, '2', 'CURRENT')}
  case "$command_path" in
${cases(entries)}
  esac
  compadd -- \${=candidates}
  [[ "\${words[CURRENT]}" == -* ]] || _files
}
compdef _varve varve
`;
}

function fishScript(entries: readonly Entry[]): string {
  const quote = (text: string): string =>
    `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = entries.flatMap(({ path, subcommands, options }) => {
    const condition = fishCondition(
      path,
      subcommands.map(({ name }) => name),
    );
    return [
      ...subcommands.map(
        ({ name, description }) =>
          `complete -c varve -n ${quote(condition)} -f -a ${name} -d ${quote(description)}`,
      ),
      ...options.map(
        ({ name, description }) =>
          `complete -c varve -n ${quote(condition)} -l ${name.replace(/^--/, '')} ` +
          `-d ${quote(description)}`,
      ),
    ];
  });
  const isCompletion = quote('__fish_seen_subcommand_from completion');
  const shellNames = `complete -c varve -n ${isCompletion} -f -a '${shells.join(' ')}'`;
  return `# fish completion for varve; load it with: varve completion fish | source
${lines.join('\n')}
${shellNames}
`;
}

function fishCondition(path: string, subcommands: readonly string[]): string {
  if (path === '') return '__fish_use_subcommand';
  const seen = path
    .split(' ')
    .map((name) => `__fish_seen_subcommand_from ${name}`)
    .join('; and ');
  return subcommands.length === 0
    ? seen
    : `${seen}; and not __fish_seen_subcommand_from ${subcommands.join(' ')}`;
}
