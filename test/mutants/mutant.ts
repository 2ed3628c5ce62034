// A sabotage of the sources, and how it is put into a copy of them. A suite that a sabotage
// survives does not test what the sabotaged line is for.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

export interface Mutant {
  /** What the sabotaged program does wrong. */
  readonly name: string;
  /** Path from the root of the checkout. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly search: string;
  readonly replace: string;
}

/** The file's text with the sabotage in it. */
export function mutatedText(root: string, { name, file, search, replace }: Mutant): string {
  const text = readFileSync(`${root}/${file}`, 'utf8');
  const count = text.split(search).length - 1;
  const where = `mutant "${name}": its search text is found ${count} times in ${file}`;
  assert.equal(count, 1, `${where}: adapt it in test/mutants to the line that it sabotages`);
  return text.replace(search, () => replace);
}

/** Writes the sabotaged file below `root`; answers how to undo it. */
export function applyMutant(root: string, mutant: Mutant): () => void {
  const path = `${root}/${mutant.file}`;
  const original = readFileSync(path, 'utf8');
  writeFileSync(path, mutatedText(root, mutant));
  return () => {
    writeFileSync(path, original);
  };
}
