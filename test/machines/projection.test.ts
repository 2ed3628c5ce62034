// Folding refuses a history that is not one: gaps, wrong streams, events of a newer program.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shapesOf } from '../../src/machines/checkpoint.ts';
import { upcast } from '../../src/machines/kernel/upcast.ts';
import { Projection } from '../../src/machines/projection.ts';
import {
  blockContent,
  commitEnded,
  committed,
  commitStarted,
  fold,
  labelsUpdated,
  prepared,
  recordNext,
  removed,
  removeStarted,
} from './given.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { BlockContent } from '../../src/machines/snapshot/events.ts';

const next = (projection: Projection, changes: Partial<RecordedEvent>): RecordedEvent => ({
  ...recordNext(projection, removeStarted(1)),
  ...changes,
});

const refused: Readonly<Record<string, readonly [Partial<RecordedEvent>, RegExp]>> = {
  'a gap in positions': [{ globalSeq: 3 }, /event 3 follows 1/],
  'a position that comes twice': [{ globalSeq: 1 }, /event 1 follows 1/],
  'a gap in revisions': [{ revision: 3 }, /revision 3 follows 1/],
  'a stream that is no snapshot’s': [{ stream: 'snapshot-01' }, /not a snapshot's stream/],
  'an event that is illegal in its state': [
    { type: 'SnapshotRemoved', data: { operationId: 1 } },
    /SnapshotRemoved \(event 2\) is illegal in active/,
  ],
  'an event of a newer version': [{ schemaVersion: 2 }, /written by a newer varve/],
  'an event type of a newer program': [{ type: 'SnapshotFrozen' }, /written by a newer varve/],
};

for (const [what, [changes, message]] of Object.entries(refused)) {
  test(`folding refuses ${what}`, () => {
    const projection = fold(prepared(1));
    assert.throws(() => projection.apply(next(projection, changes)), {
      name: 'InvariantViolation',
      message,
    });
    projection.apply(next(projection, {}));
    assert.equal(projection.globalSeq, 2);
  });
}

test('a snapshot of another id in a stream is refused', () => {
  const projection = fold();
  const event = recordNext(projection, prepared(1, { snapshotId: 2 }));
  assert.throws(() => projection.apply(event), /snapshot-1 holds its own snapshot/);
});

test('a checkpoint of another version is refused', () => {
  const checkpoint = { ...fold(prepared(1)).toCheckpoint(), checkpointVersion: 7 };
  assert.throws(
    () => Projection.fromCheckpoint(checkpoint),
    /checkpoint version 7 was written by a newer varve/,
  );
});

test('a checkpoint of version 1 is read: its labels say which unpacks await their parent', () => {
  const labels = { 'containerd.io/snapshot/parent-chain-id': 'sha256:below' };
  const projection = fold(
    prepared(1, { role: 'imageLayer', labels }),
    prepared(2, { role: 'imageLayer' }),
    committed(3, 'base'),
    labelsUpdated(3, labels),
  );
  const [newest, ...older] = shapesOf(projection.toCheckpoint());
  assert.deepEqual(
    older.map((shape) => shape.checkpointVersion),
    [5, 4, 3, 2, 1],
  );
  for (const shape of older) {
    assert.deepEqual(Projection.fromCheckpoint(shape).toCheckpoint(), newest);
  }
  assert.doesNotMatch(JSON.stringify(older.at(-1)), /awaitsParent/);
});

test('what was committed before mount options were recorded is mounted as before', () => {
  const needed = { ...blockContent('xfs'), mountOptions: 'nouuid' };
  const projection = fold(committed(1, 'image', undefined, needed));
  const [newest, , fourth] = shapesOf(projection.toCheckpoint());
  assert.ok(fourth);
  assert.doesNotMatch(JSON.stringify(fourth), /mountOptions/);
  assert.deepEqual(Projection.fromCheckpoint(fourth).toCheckpoint(), newest);
  const { mountOptions: _, ...block } = needed;
  const older = fold(prepared(1, { role: 'imageLayer' }), commitStarted(1, 'image'));
  const event = recordNext(older, commitEnded(1, 2, block as BlockContent));
  older.apply({ ...event, schemaVersion: 3 });
  assert.deepEqual(older.toCheckpoint(), newest);
});

test('a checkpoint holds snapshots by id, without those that are gone', () => {
  const projection = fold(
    prepared(7),
    committed(3, 'base'),
    prepared(1),
    removeStarted(1),
    removed(1, 2),
  );
  const { snapshots } = projection.toCheckpoint();
  assert.deepEqual(
    snapshots.map((state) => state.context.snapshotId),
    [3, 7],
  );
});

test('old versions climb step by step to the newest', () => {
  const upcasters = {
    'Thing@1': (data: unknown) => ({ ...(data as object), b: 2 }),
    'Thing@2': (data: unknown) => ({ ...(data as object), c: 3 }),
  };
  const event = { type: 'Thing', schemaVersion: 1, data: { a: 1 } };
  const newest = { Thing: 3 };
  assert.deepEqual(upcast(event, newest, upcasters), {
    type: 'Thing',
    schemaVersion: 3,
    data: { a: 1, b: 2, c: 3 },
  });
  assert.throws(() => upcast(event, newest, {}), /no upcaster for Thing version 1/);
});
