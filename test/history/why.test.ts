// Histories in sentences.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureReason } from '../../src/history/failure-text.ts';
import type { StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { eventDataShapes } from '../../src/history/shapes.ts';
import { eventVersions } from '../../src/machines/event-types.ts';
import { sentenceOf, snapshotHistory, whyDocument } from '../../src/history/why.ts';
import { RecordedHistory, sampleHistory } from './recorded.ts';

const history = sampleHistory();

function told(stream: string): readonly string[] {
  const { sentences, now } = snapshotHistory(history.of(stream));
  return [...sentences.map(({ text }) => text), now];
}

test('a layer’s history says who asked, what was done, and how it stands', () => {
  assert.deepEqual(told('snapshot-1'), [
    'Prepare (request r-prepare, namespace default) asked for "extract-1 sha256:aa" without a ' +
      'parent; snapshot #1 was made as an image layer.',
    'Commit (request r-commit, namespace default) asked to commit it as "sha256:aa" without a ' +
      'parent; measuring it began.',
    'The commit succeeded: 1.5 KiB in 1 inode.',
    'It is committed now, as "sha256:aa".',
  ]);
});

test('a failure is told with its step, errno, path and message', () => {
  assert.deepEqual(told('snapshot-3').slice(1), [
    'Remove (request r-remove, namespace default) asked to remove it; ' +
      'deleting its directory began.',
    'Deleting its directory failed: unlinkat answered EBUSY at "/x/1/fs" (resource busy). ' +
      'It is tried again.',
    'Its directory was deleted: nothing of it is left on disk.',
    'It is gone: nothing of it is left on disk.',
  ]);
});

test('a failure whose message repeats step and path is told once', () => {
  const failure = { step: 'mount-check', code: 'EBUSY', path: '/x/1/fs' };
  const message = 'mount-check /x/1/fs: is a mount point; unmount it first';
  assert.equal(failureReason({ ...failure, message }), 'is a mount point; unmount it first');
  assert.equal(failureReason({ ...failure, message: 'busy' }), 'busy');
});

test('what is still going on is said, with its beginning', () => {
  const box = snapshotHistory(history.of('snapshot-2'));
  assert.equal(box.isInFlight, true);
  assert.match(box.now, /^Its commit as "mine" is still going on, since 2026-01-31T09:00:12/);
});

test('changed labels are told by name', () => {
  assert.match(told('snapshot-2')[1] ?? '', /changed labels: "b" set to "2"\.$/);
});

test('after a label update the standing is still that of the life cycle', () => {
  const active = snapshotHistory(history.of('snapshot-2').slice(0, 2));
  assert.equal(active.now, 'It is active now.');
});

test('a removal that fails again and again says how often and why', () => {
  const removing = history.of('snapshot-3').slice(0, 3);
  assert.match(
    snapshotHistory(removing).now,
    /is tried again \(1 attempt failed, the last with EBUSY\)/,
  );
});

test('a key that came back has a history for each snapshot', () => {
  const why = whyDocument('box', [history.of('snapshot-2'), history.of('snapshot-3'), []]);
  assert.deepEqual(
    why.histories.map(({ snapshotId }) => snapshotId),
    [2, 3],
  );
});

test('what a terminal would obey in a key or message is shown, not sent', () => {
  const hostile = new RecordedHistory().add('snapshot-1', {
    type: 'SnapshotPrepareFailed',
    data: {
      snapshotId: 1,
      role: 'view',
      key: '\u001b]0;x\u0007',
      parent: '',
      failure: { step: 'mkdir', code: 'EIO', message: 'a\nb' },
    },
  });
  const { sentences } = snapshotHistory(hostile.events);
  assert.equal(/[\u0000-\u001f]/.test(sentences[0]?.text ?? '\n'), false);
});

test('an event of a newer version is told by its type', () => {
  const event = { ...history.events[0], type: 'NodeSlept', data: {} } as StoredEvent;
  assert.match(sentenceOf(event).text, /NodeSlept \(of a newer version\) was recorded/);
});

test('every event type has a shape that files are checked with', () => {
  assert.deepEqual(Object.keys(eventDataShapes).sort(), Object.keys(eventVersions).sort());
});
