// containerd's list filters: which snapshots a List is about. The strings of a query are
// alternatives, the selectors inside one string must all hold, and an empty string or no string
// matches everything. A query is compiled once; matching allocates nothing, so a List over 10,000
// snapshots stays cheap. A query with any faulty string is refused whole, since half an answer
// would pass for a full one.
import { accepted, rejected, type Result } from '../kernel/rejection.ts';
import { characterStart, shorten } from '../kernel/text.ts';
import type { SyntaxFailure } from './filter-quote.ts';
import { parseFilter, type Selector } from './filter-syntax.ts';

/** What a filter sees of a snapshot. */
export interface FilterSubject {
  readonly name: string;
  /** The parent's name; '' if there is none. */
  readonly parent: string;
  readonly kind: 'view' | 'active' | 'committed';
  readonly labels: Readonly<Record<string, string>>;
}

export type SnapshotFilter = (snapshot: FilterSubject) => boolean;

/** Whether a text holds a match. */
export type Search = (text: string) => boolean;

/** Compiles an RE2 expression to a search anywhere in a text, or says why there is none. */
export type CompileExpression = (source: string) => Search | 'invalid' | 'tooCostly';

// Far above what clients send (one string with a chain id and a parent's name).
export const filterCountMax = 256;
export const filterLengthMax = 32_768;
export const expressionLengthMax = 1_024;

/** The filter of an empty query. */
export const matchEverything: SnapshotFilter = () => true;

/** Compiles a query to one predicate, or says which filter is wrong, where and why. */
export function parseFilters(
  filters: readonly string[],
  compileExpression: CompileExpression,
): Result<SnapshotFilter> {
  if (filters.length > filterCountMax) {
    return invalid(`${filters.length} filters are more than the ${filterCountMax} allowed`);
  }
  const alternatives: SnapshotFilter[] = [];
  for (const [index, text] of filters.entries()) {
    const where = filters.length === 1 ? 'filter' : `filter ${index + 1} of ${filters.length}`;
    if (text.length > filterLengthMax) {
      return invalid(
        `${where} has ${text.length} characters, more than the ${filterLengthMax} allowed`,
      );
    }
    if (text === '') {
      alternatives.push(matchEverything);
      continue;
    }
    const parsed = parseFilter(text);
    if (!parsed.ok) return invalid(describe(where, text, parsed));
    for (const { comparison } of parsed.value) {
      if (comparison?.operator === '~=' && comparison.value.length > expressionLengthMax) {
        return invalid(
          `${where} has a regular expression of ${comparison.value.length} characters, ` +
            `more than the ${expressionLengthMax} allowed`,
        );
      }
    }
    const conditions = parsed.value.map((selector) => compile(selector, compileExpression));
    if (conditions.includes(undefined)) {
      return invalid(`${where} has a regular expression that takes too many steps`);
    }
    alternatives.push(all(conditions.filter((condition) => condition !== undefined)));
  }
  return accepted(any(alternatives));
}

function any(alternatives: readonly SnapshotFilter[]): SnapshotFilter {
  if (alternatives.length === 0 || alternatives.includes(matchEverything)) return matchEverything;
  const [only] = alternatives;
  if (only !== undefined && alternatives.length === 1) return only;
  return (snapshot) => alternatives.some((alternative) => alternative(snapshot));
}

function all(conditions: readonly SnapshotFilter[]): SnapshotFilter {
  const [first, second] = conditions;
  if (first !== undefined && conditions.length === 1) return first;
  if (first !== undefined && second !== undefined && conditions.length === 2) {
    return (snapshot) => first(snapshot) && second(snapshot);
  }
  return (snapshot) => conditions.every((condition) => condition(snapshot));
}

/** Undefined for an expression that is too costly. */
function compile(
  selector: Selector,
  compileExpression: CompileExpression,
): SnapshotFilter | undefined {
  const read = fieldReader(selector.path);
  if (selector.comparison === undefined) return (snapshot) => read(snapshot) !== undefined;
  const { operator, value } = selector.comparison;
  switch (operator) {
    case '==':
      return (snapshot) => read(snapshot) === value;
    case '!=':
      // An absent field counts as the empty text.
      return (snapshot) => (read(snapshot) ?? '') !== value;
    case '~=': {
      // Bytes that are no UTF-8 make an expression invalid; re-encoding would hide them.
      const search = value.isWellFormed() ? compileExpression(value) : 'invalid';
      if (search === 'tooCostly') return undefined;
      // containerd takes such a selector for one that never holds.
      if (search === 'invalid') return () => false;
      return (snapshot) => search(read(snapshot) ?? '');
    }
  }
}

/** Reads a field, undefined where absent; elements after kind, name and parent are ignored. */
function fieldReader(path: readonly string[]): (snapshot: FilterSubject) => string | undefined {
  const [field, ...rest] = path;
  switch (field) {
    case 'kind':
      return (snapshot) => snapshot.kind;
    case 'name':
      return (snapshot) => snapshot.name;
    case 'parent':
      return (snapshot) => snapshot.parent;
    case 'labels': {
      const label = rest.join('.');
      return ({ labels }) => (Object.hasOwn(labels, label) ? labels[label] : undefined);
    }
    default:
      return () => undefined;
  }
}

const excerptLength = 60;

function describe(where: string, text: string, { position, reason }: SyntaxFailure): string {
  const character = Array.from(text.slice(0, position)).length + 1;
  const start = characterStart(text, Math.max(0, position - excerptLength));
  const before = `${start > 0 ? '…' : ''}${text.slice(start, position)}`;
  const after = shorten(text.slice(position), excerptLength);
  return `${where}, character ${character}: ${reason} (${before}>here>${after})`;
}

const invalid = (message: string): Result<never> =>
  rejected('invalid_argument', `List cannot be answered: ${message}; correct the filter`);
