// Decisions of Commit, with the parent that a parallel unpack brings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideCommit, type CommitCommand } from '../../src/machines/snapshot/decide.ts';
import { fold } from './given.ts';
import {
  commitEnded,
  commitFailed,
  committed,
  commitStarted,
  given,
  prepared,
  removeStarted,
  viewed,
} from './given.ts';

const commit = (key: string, name: string, changes: Partial<CommitCommand> = {}) => {
  const command = { name, labels: {}, parent: '', ...changes };
  return (facts: Parameters<typeof decideCommit>[3] & ReturnType<typeof fold>['catalog']) =>
    decideCommit(key, command, facts.find(key), facts);
};

const started = (name: string, parent = '', parentId: number | null = null) =>
  ({ type: 'SnapshotCommitStarted', data: { name, labels: {}, parent, parentId } }) as const;

test('commits an active snapshot', () => {
  const state = given(prepared(1, { key: 'a' }))
    .when(commit('a', 'name'))
    .event(1, started('name'));
  assert.equal(state?.value.lifecycle, 'committing');
});

test('replaces the labels by those of the request, without empty ones', () => {
  given(prepared(1, { key: 'a', labels: { old: '1' } }))
    .when(commit('a', 'name', { labels: { fresh: '2', empty: '' } }))
    .event(1, {
      type: 'SnapshotCommitStarted',
      data: { name: 'name', labels: { fresh: '2' }, parent: '', parentId: null },
    });
});

test('keeps the parent of Prepare when Commit names none or the same', () => {
  for (const parent of ['', 'base']) {
    given(committed(1, 'base'), prepared(2, { key: 'a', parent: 'base', parentId: 1 }))
      .when(commit('a', 'name', { parent }))
      .event(2, started('name', 'base', 1));
  }
});

test('adopts the parent that Commit brings when Prepare had none', () => {
  given(committed(1, 'base'), prepared(2, { key: 'a' }))
    .when(commit('a', 'name', { parent: 'base' }))
    .event(2, started('name', 'base', 1));
});

test('refuses to change the parent with invalid_argument', () => {
  given(
    committed(1, 'base'),
    committed(2, 'other'),
    prepared(3, { key: 'a', parent: 'base', parentId: 1 }),
  )
    .when(commit('a', 'name', { parent: 'other' }))
    .refused('invalid_argument', '"a"', '"base"', '"other"', 'commit it without a parent');
});

test('refuses to adopt an unknown parent with not_found', () => {
  given(prepared(1, { key: 'a' }))
    .when(commit('a', 'name', { parent: 'nowhere' }))
    .refused('not_found', '"nowhere"', 'commit it first, or name another parent');
});

test('refuses to adopt a parent that is not committed with failed_precondition', () => {
  given(prepared(1, { key: 'open' }), prepared(2, { key: 'a' }))
    .when(commit('a', 'name', { parent: 'open' }))
    .refused('failed_precondition', '"open"', 'it is active', 'commit it first');
});

test('refuses to adopt the snapshot itself as its parent', () => {
  given(prepared(1, { key: 'a' }))
    .when(commit('a', 'name', { parent: 'a' }))
    .refused('failed_precondition', '"a"');
});

test('refuses an empty or over-long name or key with invalid_argument', () => {
  const active = prepared(1, { key: 'a' });
  given(active).when(commit('a', '')).refused('invalid_argument', 'name', 'must not be empty');
  given(active).when(commit('', 'name')).refused('invalid_argument', 'key', 'must not be empty');
  given(active)
    .when(commit('a', 'n'.repeat(4097)))
    .refused('invalid_argument', 'name', 'at most 4096');
});

test('refuses a label over the limit with invalid_argument', () => {
  given(prepared(1, { key: 'a' }))
    .when(commit('a', 'name', { labels: { big: 'v'.repeat(4094) } }))
    .refused('invalid_argument', 'big', 'at most 4096');
});

test('refuses a name that is taken with already_exists', () => {
  const takers = [
    [prepared(2, { key: 'name' })],
    [viewed(2, { key: 'name' })],
    committed(2, 'name'),
    [prepared(2), commitStarted(2, 'name')],
  ];
  for (const taker of takers) {
    given(prepared(1, { key: 'a' }), taker)
      .when(commit('a', 'name'))
      .refused('already_exists', '"name"', 'remove it first, or choose another name');
  }
});

test('refuses the snapshot’s own key as its name with already_exists', () => {
  given(prepared(1, { key: 'a' }))
    .when(commit('a', 'a'))
    .refused('already_exists', '"a"');
});

test('names the taken name before the unknown key', () => {
  given(committed(1, 'name')).when(commit('nowhere', 'name')).refused('already_exists', '"name"');
});

test('refuses an unknown key with not_found', () => {
  given().when(commit('a', 'name')).refused('not_found', '"a"', 'prepare it first');
});

test('refuses Commit of a view with failed_precondition, before judging its parents', () => {
  for (const parent of ['', 'nowhere']) {
    given(viewed(1, { key: 'v' }))
      .when(commit('v', 'name', { parent }))
      .refused('failed_precondition', '"v"', 'viewing', 'only an active snapshot');
  }
});

test('refuses Commit of a committed snapshot with failed_precondition', () => {
  given(committed(1, 'base'))
    .when(commit('base', 'name'))
    .refused('failed_precondition', '"base"', 'committed', 'only an active snapshot');
});

test('refuses a second Commit while the first is in flight', () => {
  const inFlight = [prepared(1, { key: 'a' }), commitStarted(1, 'first')];
  given(inFlight).when(commit('a', 'first')).refused('already_exists', '"first"');
  given(inFlight)
    .when(commit('a', 'second'))
    .refused('failed_precondition', '"a"', 'committing', 'only an active snapshot');
});

test('refuses a repeated Commit with already_exists once the first is done', () => {
  given(prepared(1, { key: 'a' }), commitStarted(1, 'name'), commitEnded(1, 2))
    .when(commit('a', 'name'))
    .refused('already_exists', '"name"');
});

test('takes a new Commit under the same name after one that failed', () => {
  given(prepared(1, { key: 'a' }), commitStarted(1, 'name'), commitFailed(1, 2))
    .when(commit('a', 'name'))
    .event(1, started('name'));
});

test('refuses a key that was removed with not_found', () => {
  given(prepared(1, { key: 'a' }), removeStarted(1))
    .when(commit('a', 'name'))
    .refused('not_found', '"a"', 'prepare it first');
});

test('a parent that the catalog does not hold any more is refused with not_found', () => {
  const { catalog } = fold(prepared(2, { key: 'a', parent: 'gone', parentId: 1 }));
  given()
    .when(() =>
      decideCommit('a', { name: 'name', labels: {}, parent: '' }, catalog.find('a'), catalog),
    )
    .refused('not_found', '"gone"', 'name another parent');
});
