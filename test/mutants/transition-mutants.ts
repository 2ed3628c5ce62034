// Mutants that are derived from the machines' source: every transition removed, every guard
// removed.
import { readFileSync } from 'node:fs';
import type { Mutant } from './mutant.ts';

const files = ['src/machines/snapshot/machine.ts', 'src/machines/device/machine.ts'];

/** From `start` to the bracket that closes the one opened there, with a comma after it. */
function blockAt(text: string, start: number): string {
  let depth = 0;
  for (let index = text.indexOf(':', start) + 2; index < text.length; index += 1) {
    const character = text[index] ?? '';
    if ('{['.includes(character)) depth += 1;
    if ('}]'.includes(character)) depth -= 1;
    if (depth === 0) return text.slice(start, text[index + 1] === ',' ? index + 2 : index + 1);
  }
  throw new Error('a machine holds an open bracket');
}

// The whole file is replaced, since a transition's text may occur in two states.
const without = (
  text: string,
  start: number,
  part: string,
): Pick<Mutant, 'search' | 'replace'> => ({
  search: text,
  replace: text.slice(0, start) + text.slice(start + part.length),
});

const lineOf = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** One mutant for each transition and each guard in the machines' definitions. */
export const transitionMutants = (root: string): readonly Mutant[] =>
  files.flatMap((file) => mutantsOf(file, readFileSync(`${root}/${file}`, 'utf8')));

function mutantsOf(file: string, text: string): readonly Mutant[] {
  const transitions = [...text.matchAll(/\b(?:Snapshot|Device)[A-Z]\w+: [[{]/g)].map((match) => {
    const line = lineOf(text, match.index);
    const event = match[0].slice(0, -3);
    const name = `the machine has no transition for ${event} (line ${line})`;
    return { name, file, ...without(text, match.index, blockAt(text, match.index)) };
  });
  const guards = [...text.matchAll(/,?\s*guard: '\w+'/g)].map((match) => {
    const line = lineOf(text, match.index + 3);
    const name = `a transition of ${file} has no guard (line ${line})`;
    return { name, file, ...without(text, match.index, match[0]) };
  });
  return [...transitions, ...guards];
}
