// The completion script of zsh: to be sourced, or as `_varve` in a directory of `fpath`.
import { optionsWith, type Entry } from './entries.ts';
import { findCandidates, findPath } from './words.ts';

export function zshScript(entries: readonly Entry[]): string {
  return `#compdef varve
# zsh completion for varve; load it with: source <(varve completion zsh)
_varve() {
  case "\${words[CURRENT - 1]}" in
    ${optionsWith(entries, 'file')}) _files; return ;;
    ${optionsWith(entries, 'text')}) return ;;
  esac${findPath(entries, 2, 'CURRENT')}${findCandidates(entries)}
  compadd -- \${=candidates}
  if [[ -n "$takes_file" && "\${words[CURRENT]}" != -* ]]; then _files; fi
}
# From fpath it is this file itself that is called to complete.
if [[ "\${funcstack[1]}" == _varve ]]; then
  _varve "$@"
else
  compdef _varve varve
fi
`;
}
