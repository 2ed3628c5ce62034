// Decisions of Prepare and View.
import { test } from 'node:test';
import { decidePrepare, type PrepareCommand } from '../../src/machines/snapshot/decide.ts';
import {
  committed,
  commitStarted,
  given,
  prepared,
  preparedData,
  prepareFailed,
  removed,
  removeDeferred,
  removeStarted,
  viewed,
  policy,
} from './given.ts';

const command = (changes: Partial<PrepareCommand> = {}): PrepareCommand => ({
  kind: 'active',
  snapshotId: 9,
  key: 'a',
  parent: '',
  labels: {},
  policy,
  ...changes,
});

const prepare = (changes: Partial<PrepareCommand> = {}) => {
  return (facts: Parameters<typeof decidePrepare>[1]) => decidePrepare(command(changes), facts);
};

const preparedEvent = (changes: Parameters<typeof preparedData>[1]) =>
  ({ type: 'SnapshotPrepared', data: preparedData(9, changes) }) as const;

test('prepares a snapshot without a parent', () => {
  given()
    .when(prepare())
    .event(9, preparedEvent({ key: 'a' }));
});

test('prepares a snapshot on a committed parent and records its id', () => {
  given(committed(1, 'base'))
    .when(prepare({ parent: 'base' }))
    .event(9, preparedEvent({ key: 'a', parent: 'base', parentId: 1 }));
});

test('prepares a view on a committed parent', () => {
  given(committed(1, 'base'))
    .when(prepare({ kind: 'view', parent: 'base' }))
    .event(9, preparedEvent({ key: 'a', role: 'view', parent: 'base', parentId: 1 }));
});

test('stores the labels that have a value, sorted', () => {
  given()
    .when(prepare({ labels: { b: '2', a: '1', empty: '' } }))
    .event(9, preparedEvent({ key: 'a', labels: { a: '1', b: '2' } }));
});

test('takes keys with slashes, dots and spaces as they are', () => {
  const key = '../ns/1/extract-5 ../../etc sha256:x';
  given().when(prepare({ key })).event(9, preparedEvent({ key }));
});

test('refuses an empty key with invalid_argument', () => {
  given()
    .when(prepare({ key: '' }))
    .refused('invalid_argument', 'key', 'must not be empty');
});

test('refuses a key over the limit with invalid_argument and names the limit', () => {
  given()
    .when(prepare({ key: 'k'.repeat(4097) }))
    .refused('invalid_argument', 'kkk', '4097 bytes', 'at most 4096');
});

test('counts a key in bytes of UTF-8', () => {
  given()
    .when(prepare({ key: 'é'.repeat(2049) }))
    .refused('invalid_argument', '4098 bytes');
  given()
    .when(prepare({ key: 'é'.repeat(2048) }))
    .event(9, preparedEvent({ key: 'é'.repeat(2048) }));
});

test('refuses a label over containerd’s limit with invalid_argument', () => {
  given()
    .when(prepare({ labels: { big: 'v'.repeat(4094) } }))
    .refused('invalid_argument', 'big', '4097 bytes', 'at most 4096');
});

test('refuses an unknown parent with not_found', () => {
  given()
    .when(prepare({ parent: 'nowhere' }))
    .refused('not_found', '"nowhere"', 'commit it first, or name another parent');
});

test('refuses a parent that is active with invalid_argument', () => {
  given(prepared(1, { key: 'open' }))
    .when(prepare({ parent: 'open' }))
    .refused('invalid_argument', '"open"', 'it is active', 'commit it first');
});

test('refuses a parent that is a view with invalid_argument', () => {
  given(viewed(1, { key: 'v' }))
    .when(prepare({ parent: 'v' }))
    .refused('invalid_argument', '"v"', 'it is view', 'name another parent');
});

test('refuses a parent whose commit is in flight: its name is not there yet', () => {
  given(prepared(1), commitStarted(1, 'soon'))
    .when(prepare({ parent: 'soon' }))
    .refused('not_found', '"soon"', 'commit it first');
});

test('refuses a removed parent with not_found', () => {
  for (const removal of [removeStarted(1), removeDeferred(1)]) {
    given(committed(1, 'base'), removal)
      .when(prepare({ parent: 'base' }))
      .refused('not_found', '"base"');
  }
});

test('refuses a key that is taken, whatever has it, with already_exists', () => {
  const owners = [[prepared(1, { key: 'a' })], [viewed(1, { key: 'a' })], committed(1, 'a')];
  for (const owner of owners) {
    given(owner)
      .when(prepare())
      .refused('already_exists', '"a"', 'remove it first, or choose another name');
  }
});

test('refuses a key that a commit in flight will take, with already_exists', () => {
  given(prepared(1), commitStarted(1, 'a')).when(prepare()).refused('already_exists', '"a"');
});

test('names the unknown parent before the taken key', () => {
  given(prepared(1, { key: 'a' }))
    .when(prepare({ parent: 'nowhere' }))
    .refused('not_found', '"nowhere"');
});

test('gives a removed key to a new snapshot at once, before the directory is gone', () => {
  for (const steps of [
    [removeStarted(1)],
    [removeDeferred(1)],
    [removeStarted(1), removed(1, 2)],
  ]) {
    given(prepared(1, { key: 'a' }), ...steps)
      .when(prepare())
      .event(9, preparedEvent({ key: 'a' }));
  }
});

test('leaves the key free after a Prepare that failed', () => {
  given(prepareFailed(1, 'a'))
    .when(prepare())
    .event(9, preparedEvent({ key: 'a' }));
});
