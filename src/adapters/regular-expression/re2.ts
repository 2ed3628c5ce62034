// Regular expressions with RE2's syntax and its promise: matching takes time linear in the text.
// The language is that of Go's regexp, which clients write filters for; JavaScript's own differs,
// and can be made to run for ever.
import { RE2JS } from 're2js';

// Matching costs up to this many steps per character. Ordinary expressions have below a hundred;
// only counted repetitions come near.
export const programSizeMax = 10_000;

/** Compiles `source` to a search anywhere in a text; undefined if it is invalid or too costly. */
export function compileExpression(source: string): ((text: string) => boolean) | undefined {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(source);
  } catch {
    // Invalid: containerd takes such a selector for one that never holds.
    return undefined;
  }
  if (expression.programSize() > programSizeMax) return undefined;
  return (text) => expression.test(text);
}
