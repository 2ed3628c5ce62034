// The completion script of bash. What it answers nothing for, bash itself completes as a file,
// unless that is switched off.
import { optionsWith, type Entry } from './entries.ts';
import { findCandidates, findPath } from './words.ts';

export function bashScript(entries: readonly Entry[]): string {
  return `# bash completion for varve; load it with: source <(varve completion bash)
_varve() {
  local words=("\${COMP_WORDS[@]}") current="\${COMP_WORDS[COMP_CWORD]}"
  local previous="\${COMP_WORDS[COMP_CWORD - 1]}"
  COMPREPLY=()
  if [[ "$current" == "=" ]]; then
    current=""
  elif [[ "$previous" == "=" ]]; then
    previous="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  case "$previous" in
    ${optionsWith(entries, 'file')}) return ;;
    ${optionsWith(entries, 'text')}) compopt +o default 2>/dev/null; return ;;
  esac${findPath(entries, 1, 'COMP_CWORD')}${findCandidates(entries)}
  if [[ -z "$takes_file" ]]; then compopt +o default 2>/dev/null; fi
  COMPREPLY=($(compgen -W "$candidates" -- "$current"))
}
complete -o default -F _varve varve
`;
}
