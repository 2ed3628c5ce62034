// List filters: every row of what containerd answers, then what is our own: limits, messages, bytes
// that no row can hold, and the cost over many snapshots.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileExpression, programSizeMax } from '../../src/adapters/regular-expression/re2.ts';
import {
  expressionLengthMax,
  filterCountMax,
  filterLengthMax,
  matchEverything,
  parseFilters,
  type FilterSubject,
  type SnapshotFilter,
} from '../../src/machines/catalog/filter.ts';
import { filterCases, subjects } from './filter-cases.ts';

function answer(filters: readonly string[]): string {
  const parsed = parseFilters(filters, compileExpression);
  if (!parsed.ok) return 'refused';
  return Object.entries<FilterSubject>(subjects)
    .filter(([, subject]) => parsed.value(subject))
    .map(([name]) => name)
    .join(' ');
}

function compiled(...filters: readonly string[]): SnapshotFilter {
  const parsed = parseFilters(filters, compileExpression);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.rejection.message);
  return parsed.value;
}

function refusal(...filters: readonly string[]): string {
  const parsed = parseFilters(filters, compileExpression);
  assert.ok(!parsed.ok, `${JSON.stringify(filters)} must be refused`);
  assert.equal(parsed.rejection.code, 'invalid_argument');
  return parsed.rejection.message;
}

test('every filter has the answer that containerd gives', () => {
  const wrong = filterCases
    .map(([filters, expected]) => ({ filters, expected, actual: answer(filters) }))
    .filter(({ expected, actual }) => expected !== actual);
  assert.deepEqual(wrong, []);
  assert.ok(filterCases.length > 250, 'the table must be there');
});

test('a refusal names the filter, the position and what was expected', () => {
  assert.match(refusal('name='), /filter, character 5: expected an operator.*name>here>=/);
  assert.match(refusal('kind', 'a==b ,c'), /filter 2 of 2, character 5: expected a comma/);
  assert.match(refusal('層=='), /filter, character 1: expected a field/);
  assert.match(refusal('name=="層'), /character 9: the literal that " opens must be closed/);
  assert.match(
    refusal('name==/x/'),
    /character 7: a value that begins with \/ must stand in double/,
  );
  assert.match(
    refusal('name=="\\x4"'),
    /character 8: \\x must be followed by 2 hexadecimal digits/,
  );
});

test('a long faulty filter is shown only around the fault', () => {
  const message = refusal(`name==${'a'.repeat(5_000)} ${'b'.repeat(5_000)}`);
  assert.ok(message.length < 400, message);
  assert.match(message, /character 5007/);
});

test('a query over a limit is refused by name of the limit', () => {
  const many = Array.from({ length: filterCountMax }, () => 'kind');
  compiled(...many);
  assert.match(refusal(...many, 'kind'), new RegExp(`more than the ${filterCountMax} allowed`));
  const long = `name==${'a'.repeat(filterLengthMax - 6)}`;
  compiled(long);
  assert.match(refusal(`${long}a`), new RegExp(`more than the ${filterLengthMax} allowed`));
  const expression = 'a'.repeat(expressionLengthMax);
  compiled(`name~=${expression}`);
  assert.match(refusal(`name~=${expression}a`), /regular expression of 1025 characters/);
});

test('a lone surrogate in a filter is refused like invalid UTF-8', () => {
  refusal('name==a\ud800');
  refusal('name=="\udfff"');
  refusal('\ud800');
});

test('a byte that is no UTF-8 equals no character and makes an expression invalid', () => {
  const subject: FilterSubject = { name: 'ÿ', parent: '', kind: 'active', labels: {} };
  assert.equal(compiled('name=="\\xff"')(subject), false);
  assert.equal(compiled('name!="\\xff"')(subject), true);
  assert.equal(compiled('name=="\\xc3\\xbf"')(subject), true);
  assert.equal(compiled('name~="[^\\xff]"')(subject), false);
  assert.equal(compiled('name~="[^a]"')(subject), true);
});

test('an invalid expression never holds, one that takes too many steps is refused', () => {
  const subject: FilterSubject = { name: 'a', parent: '', kind: 'active', labels: {} };
  for (const invalid of ['(', '(?=a)']) {
    assert.equal(compileExpression(invalid), 'invalid');
    assert.equal(compiled(`name~="${invalid}"`)(subject), false);
  }
  const costly = '.{1000}'.repeat(programSizeMax / 1_000);
  assert.equal(compileExpression(costly), 'tooCostly');
  const refused = parseFilters(['', `name~="${costly}"`], compileExpression);
  assert.ok(!refused.ok);
  assert.match(refused.rejection.message, /filter 2 of 2 .*too many steps; correct the filter/);
  assert.equal(typeof compileExpression('.{1000}'), 'function');
});

test('an expression that backtracks elsewhere ends at once', () => {
  const search = compileExpression('(a*)*(a|aa)*$b');
  assert.ok(typeof search === 'function');
  assert.equal(search('a'.repeat(100_000)), false);
});

test('labels that name properties of every object are absent unless they are labels', () => {
  const bare: FilterSubject = { name: 'a', parent: '', kind: 'active', labels: {} };
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    assert.equal(compiled(`labels.${name}`)(bare), false, name);
    assert.equal(compiled(`labels.${name}!=x`)(bare), true, name);
    const labels: Record<string, string> = Object.create(null) as Record<string, string>;
    labels[name] = 'x';
    assert.equal(compiled(`labels.${name}==x`)({ ...bare, labels }), true, name);
  }
});

test('an empty query and an empty string share the filter that looks at nothing', () => {
  assert.equal(compiled(), matchEverything);
  assert.equal(compiled(''), matchEverything);
  assert.equal(compiled('kind==view', ''), matchEverything);
});

test("containerd's query for a remote snapshot needs no expression and finds one of 10,000", () => {
  const parsed = parseFilters(
    ['labels."containerd.io/snapshot.ref"==sha256:77,parent=="default/76/sha256:76"'],
    () => assert.fail('nothing here is an expression'),
  );
  assert.ok(parsed.ok);
  const many = Array.from({ length: 10_000 }, (_, index): FilterSubject => ({
    name: `default/${index}/sha256:${index}`,
    parent: index === 0 ? '' : `default/${index - 1}/sha256:${index - 1}`,
    kind: 'committed',
    labels: { 'containerd.io/snapshot.ref': `sha256:${index}` },
  }));
  assert.deepEqual(
    many.filter(parsed.value).map(({ name }) => name),
    ['default/77/sha256:77'],
  );
});
