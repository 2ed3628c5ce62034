// The completion script of fish.
import { groupsOf, optionsWith, type Entry, type EntryOption } from './entries.ts';

export function fishScript(entries: readonly Entry[]): string {
  const valued = optionsWith(entries, 'file', 'text').replaceAll('|', ' ');
  return `# fish completion for varve; load it with: varve completion fish | source
# Whether the words before the cursor that are neither options nor their values name this command.
function __varve_at
    set -l path
    set -l skips 0
    for word in (commandline -opc)[2..-1]
        if test $skips = 1
            set skips 0
        else if contains -- $word ${valued}
            set skips 1
        else if string match -q -- '-*' $word
            continue
        else if test -z "$path"
            set path $word
        else if contains -- $path ${groupsOf(entries).replaceAll('|', ' ')}
            set path "$path $word"
            break
        else
            break
        end
    end
    test "$path" = "$argv[1]"
end
complete -c varve -f
${entries.flatMap(linesOf).join('\n')}
`;
}

function linesOf(entry: Entry): readonly string[] {
  const begin = `complete -c varve -n ${quoted(`__varve_at ${quoted(entry.path)}`)}`;
  return [
    ...entry.subcommands.map(
      ({ name, description }) => `${begin} -a ${name} -d ${quoted(description)}`,
    ),
    ...(entry.argumentWords.length === 0
      ? []
      : [`${begin} -a ${quoted(entry.argumentWords.join(' '))}`]),
    ...(entry.takesFile ? [`${begin} -F`] : []),
    ...entry.options.map(
      (option) => `${begin} ${namesOf(option)}${valueOf(option)} -d ${quoted(option.description)}`,
    ),
  ];
}

const namesOf = ({ names }: EntryOption): string =>
  names.map((name) => name.replace(/^--/, '-l ').replace(/^-(?=\w$)/, '-s ')).join(' ');

const values: Readonly<Record<EntryOption['value'], string>> = {
  none: '',
  file: ' -r -F',
  text: ' -x',
};
const valueOf = ({ value }: EntryOption): string => values[value];

const quoted = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
