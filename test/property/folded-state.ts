// What must hold of the folded state itself, and its equality with the independent model, with a
// replay from nothing and with a checkpoint and the tail after it.
import assert from 'node:assert/strict';
import { Projection } from '../../src/machines/projection.ts';
import { isInFlight } from '../../src/machines/snapshot/evolve.ts';
import { intentsOf } from '../../src/machines/snapshot/intents.ts';
import { kindOf } from '../../src/machines/snapshot/state.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';
import type { LogModel } from './log-model.ts';

export function replay(events: readonly RecordedEvent[], from = Projection.empty()): Projection {
  for (const event of events) from.apply(event);
  return from;
}

const json = (projection: Projection): string => JSON.stringify(projection.toCheckpoint());

/** I9, and that names, kinds, parents and labels are those of the model. */
export function assertStateMatches(projection: Projection, model: LogModel): void {
  const { catalog } = projection;
  for (const state of catalog.states.values()) {
    const owed = intentsOf(state);
    assert.equal(owed.length, isInFlight(state) ? 1 : 0, 'I9: in flight and owing are the same');
    const entry = model.entries.get(state.context.snapshotId);
    assert.equal(
      owed[0]?.operationId ?? null,
      entry?.operationId ?? null,
      'I9: the same operation',
    );
  }
  const expected = model.visible().map(({ key, kind, id, parentId, labels }) => {
    return { key, kind: kind, id, parentId, labels };
  });
  const visible = catalog.visible().map((state) => ({
    key: state.context.key,
    kind: kindOf(state),
    id: state.context.snapshotId,
    parentId: state.context.parentId,
    labels: JSON.stringify(state.context.labels),
  }));
  const byKey = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : 1);
  assert.deepEqual(visible, [...expected].sort(byKey));
  for (const { key, id, commit } of model.visible()) {
    assert.equal(catalog.find(key)?.context.snapshotId, id);
    assert.ok(catalog.isTaken(key), `${key} is taken`);
    if (commit !== null) assert.ok(catalog.isTaken(commit.name), `${commit.name} is claimed`);
    const children = model
      .visible()
      .filter((one) => one.parentId === id || one.commit?.parentId === id)
      .map((one) => one.id);
    const found = catalog.childrenOf(id).map((state) => state.context.snapshotId);
    assert.deepEqual([...found].sort(), children.sort(), `children of ${key}`);
  }
}

/** Replay, and checkpoint + tail from the middle, give what memory holds, byte for byte. */
export function assertReplayEqual(events: readonly RecordedEvent[], memory: Projection): void {
  assert.equal(json(replay(events)), json(memory), 'replay equals memory');
  const cut = Math.floor(events.length / 2);
  const checkpoint = JSON.parse(json(replay(events.slice(0, cut)))) as Checkpoint;
  const resumed = replay(events.slice(cut), Projection.fromCheckpoint(checkpoint));
  assert.equal(json(resumed), json(memory), 'checkpoint and tail equal memory');
}
