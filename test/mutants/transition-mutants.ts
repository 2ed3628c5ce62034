// Mutants that are derived from the machines' source: every transition removed, every guard
// removed.
import { readFileSync } from 'node:fs';
import type { Mutant } from './mutant.ts';

const file = 'src/machines/snapshot/machine.ts';

/** From `start` to the brace that closes the one opened there, with a comma after it. */
function blockAt(text: string, start: number): string {
  let depth = 0;
  for (let index = text.indexOf('{', start); index < text.length; index += 1) {
    if (text[index] === '{') depth += 1;
    if (text[index] === '}') depth -= 1;
    if (depth === 0) return text.slice(start, text[index + 1] === ',' ? index + 2 : index + 1);
  }
  throw new Error(`${file} holds an open brace`);
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
export function transitionMutants(root: string): readonly Mutant[] {
  const text = readFileSync(`${root}/${file}`, 'utf8');
  const transitions = [...text.matchAll(/\bSnapshot[A-Z]\w+: \{/g)].map((match) => {
    const line = lineOf(text, match.index);
    const event = match[0].slice(0, -3);
    const name = `the machine has no transition for ${event} (line ${line})`;
    return { name, file, ...without(text, match.index, blockAt(text, match.index)) };
  });
  const guards = [...text.matchAll(/,?\s*guard: '\w+'/g)].map((match) => {
    const name = `a transition has no guard (line ${lineOf(text, match.index + 3)})`;
    return { name, file, ...without(text, match.index, match[0]) };
  });
  return [...transitions, ...guards];
}
