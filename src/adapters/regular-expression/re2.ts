// Regular expressions with RE2's syntax and its promise: matching takes time linear in the text.
// The language is that of Go's regexp, which clients write filters for; JavaScript's own differs,
// and can be made to run for ever.
import { RE2JS } from 're2js';
import type { CompileExpression } from '../../machines/catalog/filter.ts';

// Matching costs up to this many steps per character. Ordinary expressions have below a hundred;
// only counted repetitions come near.
export const programSizeMax = 10_000;

/** Compiles `source` to a search anywhere in a text, or says why there is none. */
export const compileExpression: CompileExpression = (source) => {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(source);
  } catch {
    return 'invalid';
  }
  if (expression.programSize() > programSizeMax) return 'tooCostly';
  return (text) => expression.test(text);
};
