// What the scripts of bash and zsh have in common: which command stands before the cursor, and what
// may follow it.
import { candidatesOf, groupsOf, optionsWith, type Entry } from './entries.ts';

/**
 * Sets `command_path` from the words before the cursor: the first that are neither options nor
 * their values; a group of commands takes two of them.
 */
export const findPath = (entries: readonly Entry[], first: number, count: string): string => `
  local command_path="" word index
  for ((index = ${first}; index < ${count}; index++)); do
    word="\${words[index]}"
    case "$word" in
      ${optionsWith(entries, 'file', 'text')})
        index=$((index + 1))
        # bash takes the sign in --option=value for a word.
        if [[ "\${words[index]}" == "=" ]]; then index=$((index + 1)); fi
        continue ;;
      -*) continue ;;
    esac
    case "$command_path" in
      "") command_path="$word" ;;
      ${groupsOf(entries)}) command_path="$command_path $word"; break ;;
      *) break ;;
    esac
  done`;

/** Sets `candidates`, and `takes_file` where an argument is a file. */
export const findCandidates = (entries: readonly Entry[]): string => `
  local candidates="" takes_file=""
  case "$command_path" in
${entries.map(candidateCase).join('\n')}
  esac`;

const candidateCase = (entry: Entry): string =>
  `    "${entry.path}") candidates="${candidatesOf(entry)}"` +
  `${entry.takesFile ? '; takes_file=yes' : ''} ;;`;
