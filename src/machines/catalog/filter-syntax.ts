// The grammar of containerd's list filters, as containerd reads them, oddities included:
//
//   filter   := selector { "," selector }       selector := path [ operator value ]
//   path     := field { "." field }             operator := "==" | "!=" | "~="
//   field    := [A-Za-z0-9_]+ | "quoted"        value    := bare | "quoted"
//                                               with ~= also /quoted/ and |quoted|
//
// White space may stand before a field, an operator or a value, but not before "," or "." and not
// at the end: containerd looks for those without skipping any.
import {
  failure,
  isIllegal,
  readQuoted,
  type Reading,
  type SyntaxFailure,
} from './filter-quote.ts';

export type Operator = '==' | '!=' | '~=';

/** One condition. Without `comparison` it asks whether the field is there. */
export interface Selector {
  readonly path: readonly string[];
  readonly comparison?: { readonly operator: Operator; readonly value: string };
}

const spaces = /\p{White_Space}*/uy;
const fieldRun = /[A-Za-z0-9_]+/y;
const operatorRun = /[=!~]+/y;
const bareRun = /(?:(?![,\ufffd])[\p{L}\p{M}\p{N}\p{P}\p{S}])*/uy;

/** Parses one filter, which must not be empty. */
export function parseFilter(text: string): Reading<readonly Selector[]> | SyntaxFailure {
  const selectors: Selector[] = [];
  let position = 0;
  for (;;) {
    const selector = readSelector(text, position);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
    position = selector.next;
    if (position === text.length) return { ok: true, value: selectors, next: position };
    if (text[position] !== ',') {
      return failure(position, 'expected a comma or the end directly after the value');
    }
    position += 1;
  }
}

function readSelector(text: string, start: number): Reading<Selector> | SyntaxFailure {
  const path: string[] = [];
  let position = start;
  do {
    const field = readField(text, path.length === 0 ? position : position + 1);
    if (!field.ok) return field;
    path.push(field.value);
    position = field.next;
  } while (text[position] === '.');
  if (position === text.length || text[position] === ',') {
    return { ok: true, value: { path }, next: position };
  }
  const operator = readOperator(text, position);
  if (!operator.ok) return operator;
  const value = readValue(text, operator.next, operator.value);
  if (!value.ok) return value;
  return {
    ok: true,
    value: { path, comparison: { operator: operator.value, value: value.value } },
    next: value.next,
  };
}

function readField(text: string, start: number): Reading<string> | SyntaxFailure {
  const position = afterRun(spaces, text, start);
  if (text[position] === '"') return readQuoted(text, position);
  const next = afterRun(fieldRun, text, position);
  if (next > position) return { ok: true, value: text.slice(position, next), next };
  return failure(position, 'expected a field: letters, digits, _ or a literal in double quotes');
}

function readOperator(text: string, start: number): Reading<Operator> | SyntaxFailure {
  const position = afterRun(spaces, text, start);
  const next = afterRun(operatorRun, text, position);
  const operator = text.slice(position, next);
  if (operator === '==' || operator === '!=' || operator === '~=') {
    return { ok: true, value: operator, next };
  }
  return failure(position, 'expected an operator: ==, != or ~=');
}

function readValue(
  text: string,
  start: number,
  operator: Operator,
): Reading<string> | SyntaxFailure {
  const position = afterRun(spaces, text, start);
  const codePoint = text.codePointAt(position);
  if (codePoint === undefined) return failure(position, `expected a value after ${operator}`);
  const first = String.fromCodePoint(codePoint);
  if (first === '"' || (operator === '~=' && (first === '/' || first === '|'))) {
    return readQuoted(text, position);
  }
  if (first === '/' || first === '|') {
    return failure(position, `a value that begins with ${first} must stand in double quotes here`);
  }
  if (isIllegal(first) || '.,=!~'.includes(first)) {
    return failure(position, `expected a value after ${operator}`);
  }
  // The first character may be any other, even one that could not stand further on.
  const next = afterRun(bareRun, text, position + first.length);
  return { ok: true, value: text.slice(position, next), next };
}

function afterRun(run: RegExp, text: string, start: number): number {
  run.lastIndex = start;
  return run.test(text) ? run.lastIndex : start;
}
