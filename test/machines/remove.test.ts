// Decisions of Remove and Update, and of the outcomes that effects bring back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideOutcome,
  decideRemove,
  decideUpdate,
  type Outcome,
  type SnapshotFacts,
} from '../../src/machines/snapshot/decide.ts';
import { intentsOf } from '../../src/machines/snapshot/intents.ts';
import {
  commitEnded,
  commitFailed,
  committed,
  commitStarted,
  failure,
  fold,
  given,
  labelsUpdated,
  prepared,
  removed,
  removeDeferred,
  removeFailed,
  removeStarted,
  viewed,
  type Step,
} from './given.ts';

const remove =
  (key: string, isDeferred = false) =>
  (facts: SnapshotFacts) =>
    decideRemove(key, isDeferred, facts.find(key), facts);

const update =
  (name: string, labels: Record<string, string>, paths: readonly string[] = []) =>
  (facts: SnapshotFacts) =>
    decideUpdate(name, { labels, paths }, facts.find(name));

const start = { type: 'SnapshotRemoveStarted', data: {} } as const;

test('removes an active snapshot, a view and a committed one', () => {
  const owners = [[prepared(1, { key: 'a' })], [viewed(1, { key: 'a' })], committed(1, 'a')];
  for (const owner of owners) {
    assert.equal(given(owner).when(remove('a')).event(1, start)?.value.lifecycle, 'removing');
  }
});

test('defers the removal of the directory when asked to', () => {
  const state = given(prepared(1, { key: 'a' }))
    .when(remove('a', true))
    .event(1, { type: 'SnapshotRemoveDeferred', data: {} });
  assert.equal(state?.value.lifecycle, 'removeDeferred');
});

test('refuses to remove an unknown key with not_found', () => {
  given().when(remove('a')).refused('not_found', '"a"', 'nothing to remove');
});

test('refuses a repeated Remove with not_found', () => {
  for (const removal of [removeStarted(1), removeDeferred(1)]) {
    given(prepared(1, { key: 'a' }), removal)
      .when(remove('a'))
      .refused('not_found', '"a"');
  }
});

test('R-07: refuses to remove a parent with failed_precondition and names the child', () => {
  const child = { key: 'child', parent: 'base', parentId: 1 };
  for (const isDeferred of [false, true]) {
    for (const step of [prepared(2, child), viewed(2, child)]) {
      given(committed(1, 'base'), step)
        .when(remove('base', isDeferred))
        .refused('failed_precondition', '"base"', '"child"', 'remove that first');
    }
  }
});

test('refuses to remove a snapshot that a commit in flight takes as its parent', () => {
  given(
    committed(1, 'base'),
    prepared(2, { key: 'a' }),
    commitStarted(2, 'name', { parent: 'base', parentId: 1 }),
  )
    .when(remove('base'))
    .refused('failed_precondition', '"base"', '"a"', 'remove that first');
});

test('lets a parent go again when the commit that adopted it failed', () => {
  given(
    committed(1, 'base'),
    prepared(2, { key: 'a' }),
    commitStarted(2, 'name', { parent: 'base', parentId: 1 }),
    commitFailed(2, 2),
  )
    .when(remove('base'))
    .event(1, start);
});

test('removes a parent once its only child is removed as far as clients see', () => {
  given(
    committed(1, 'base'),
    prepared(2, { key: 'child', parent: 'base', parentId: 1 }),
    removeDeferred(2),
  )
    .when(remove('base'))
    .event(1, start);
});

test('refuses to remove a snapshot while its commit is in flight', () => {
  given(prepared(1, { key: 'a' }), commitStarted(1, 'name'))
    .when(remove('a'))
    .refused('failed_precondition', '"a"', 'committing', 'try again');
});

test('updates the labels of an active snapshot, a view and a committed one', () => {
  const owners = [[prepared(1, { key: 'a' })], [viewed(1, { key: 'a' })], committed(1, 'a')];
  for (const owner of owners) {
    const state = given(owner)
      .when(update('a', { x: '1' }))
      .event(1, { type: 'SnapshotLabelsUpdated', data: { labels: { x: '1' } } });
    assert.deepEqual(state?.context.labels, { x: '1' });
  }
});

test('applies a field mask to the labels there are', () => {
  given(prepared(1, { key: 'a' }), labelsUpdated(1, { keep: '1', drop: '2' }))
    .when(update('a', { 'x.y': '3' }, ['labels.x.y', 'labels.drop']))
    .event(1, { type: 'SnapshotLabelsUpdated', data: { labels: { keep: '1', 'x.y': '3' } } });
});

test('refuses to update an unknown snapshot with not_found', () => {
  given().when(update('a', {})).refused('not_found', '"a"', 'list the snapshots');
});

test('refuses a field mask path that is not of labels with invalid_argument', () => {
  given(prepared(1, { key: 'a' }))
    .when(update('a', {}, ['parent']))
    .refused('invalid_argument', '"parent"', 'only labels and labels.<key> can');
});

test('refuses to update labels while a commit is in flight', () => {
  given(prepared(1, { key: 'a' }), commitStarted(1, 'name'))
    .when(update('a', {}))
    .refused('failed_precondition', '"a"', 'committing', 'try again');
});

const outcome = (id: number, operationId: number, what: Outcome, ...steps: readonly Step[]) => {
  const state = fold(...steps).snapshot(id);
  assert.ok(state);
  return given(...steps).when(() => decideOutcome(state, operationId, what));
};
const sealed: Outcome = { kind: 'sealed', sizeBytes: 8192, inodeCount: 3, block: null };
const failed: Outcome = { kind: 'failed', failure };
const committing = [prepared(1, { key: 'a' }), commitStarted(1, 'name')];
const removing = [prepared(1, { key: 'a' }), removeStarted(1)];

test('records a sealed layer with its usage, under its new name', () => {
  const state = outcome(1, 2, sealed, ...committing).event(1, {
    type: 'SnapshotCommitted',
    data: { operationId: 2, sizeBytes: 8192, inodeCount: 3, block: null },
  });
  assert.equal(state?.context.key, 'name');
  assert.equal(state.context.sizeBytes, 8192);
  assert.equal(state.context.createdAtUs, state.context.updatedAtUs);
});

test('records a failed commit: active again, with the reason', () => {
  const state = outcome(1, 2, failed, ...committing).event(1, {
    type: 'SnapshotCommitFailed',
    data: { operationId: 2, failure },
  });
  assert.equal(state?.value.lifecycle, 'active');
  assert.equal(state.context.key, 'a');
  assert.deepEqual(state.context.lastFailure, failure);
});

test('records a deleted directory; nothing of the snapshot is left', () => {
  const state = outcome(1, 2, { kind: 'deleted' }, ...removing).event(1, {
    type: 'SnapshotRemoved',
    data: { operationId: 2 },
  });
  assert.equal(state, undefined);
});

test('records a failed deletion, which owes another attempt under a new operation', () => {
  const state = outcome(1, 2, failed, ...removing).event(1, {
    type: 'SnapshotRemoveFailed',
    data: { operationId: 2, failure },
  });
  assert.ok(state);
  assert.deepEqual(intentsOf(state), [
    {
      kind: 'deleteDirectory',
      snapshotId: 1,
      operationId: 3,
      attemptCount: 2,
      changesNothing: false,
    },
  ]);
});

test('stays quiet about an outcome of another attempt', () => {
  outcome(1, 1, sealed, ...committing).nothing();
  outcome(1, 2, { kind: 'deleted' }, ...removing, removeFailed(1, 2)).nothing();
  outcome(1, 2, failed, ...removing, removeFailed(1, 2)).nothing();
  outcome(1, 2, sealed, ...committing, commitFailed(1, 2), commitStarted(1, 'again')).nothing();
});

test('stays quiet about an outcome that comes twice', () => {
  outcome(1, 2, sealed, ...committing, commitEnded(1, 2)).nothing();
  outcome(1, 2, failed, ...committing, commitFailed(1, 2)).nothing();
});

test('stays quiet about an outcome of another kind of effect', () => {
  outcome(1, 2, { kind: 'deleted' }, ...committing).nothing();
  outcome(1, 2, sealed, ...removing).nothing();
});

test('a snapshot that is gone answers nothing and is not found', () => {
  const projection = fold(...removing, removed(1, 2));
  assert.equal(projection.snapshot(1), undefined);
  assert.equal(projection.find('a'), undefined);
});
