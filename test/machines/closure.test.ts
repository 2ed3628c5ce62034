// Closure: every state in flight owes exactly one effect whose both outcomes are legal there, and
// no other state owes any. The one exception is named below.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Catalog } from '../../src/machines/catalog/catalog.ts';
import { decideOutcome, type Outcome } from '../../src/machines/snapshot/decide.ts';
import {
  absentSnapshot,
  evolveSnapshot,
  isInFlight,
  isLegal,
} from '../../src/machines/snapshot/evolve.ts';
import { intentsOf, type Intent } from '../../src/machines/snapshot/intents.ts';
import { snapshotCharts, snapshotMachines } from '../../src/machines/snapshot/machine.ts';
import { endsSnapshot } from '../../src/machines/snapshot/events.ts';
import { eventOf, eventTypes, roles } from './chart-space.ts';
import { failure } from './given.ts';
import { walksOf } from './walks.ts';

const success: Readonly<Record<Intent['kind'], Outcome>> = {
  sealLayer: { kind: 'sealed', sizeBytes: 1, inodeCount: 1, block: null },
  finishBlockLayer: {
    kind: 'sealed',
    sizeBytes: 4096,
    inodeCount: 2,
    block: { fileSystem: 'ext4', layerFile: 'overlaybd.sealed', mountOptions: '' },
  },
  deleteDirectory: { kind: 'deleted' },
};

for (const role of roles) {
  test(`${role}: in flight and owing exactly one effect are the same`, () => {
    for (const { state } of walksOf(role)) {
      const count = intentsOf(state).length;
      assert.equal(count, isInFlight(state) ? 1 : 0, state.value.lifecycle);
    }
  });

  test(`${role}: both outcomes of what is owed are legal, and leave nothing owed twice`, () => {
    for (const { state } of walksOf(role)) {
      const [intent] = intentsOf(state);
      if (intent === undefined) continue;
      for (const outcome of [success[intent.kind], { kind: 'failed', failure } as const]) {
        const [event, ...more] = decideOutcome(state, intent.operationId, outcome);
        assert.ok(event !== undefined && more.length === 0, `${intent.kind} ${outcome.kind}`);
        const recorded = { ...eventOf(role, event.type), data: event.data };
        const next = evolveSnapshot(state, { ...recorded, revision: state.revision + 1 } as never);
        for (const owed of intentsOf(next)) assert.ok(owed.operationId > intent.operationId);
      }
    }
  });

  test(`${role}: a state tagged in flight is one of those with an intent`, () => {
    const tagged = Object.entries(snapshotMachines[role].root.states['lifecycle']?.states ?? {})
      .filter(([, node]) => node.tags.includes('inFlight'))
      .map(([name]) => name);
    assert.deepEqual(tagged, role === 'view' ? ['removing'] : ['committing', 'removing']);
    const walked = new Set(walksOf(role).map(({ state }) => state.value.lifecycle));
    for (const name of tagged) assert.ok(walked.has(name as never), name);
  });
}

for (const role of roles) {
  test(`${role}: the catalog forgets a snapshot with the events that end it, and only then`, () => {
    const states = [absentSnapshot, ...walksOf(role).map(({ state }) => state)];
    const seen = new Set<string>();
    for (const state of states) {
      for (const type of eventTypes) {
        const { operationId } = state.context.operation ?? {};
        const { data, ...event } = eventOf(role, type);
        const revision = state.revision + 1;
        const next = { ...event, data: { ...data, operationId }, revision } as never;
        if (!isLegal(state, next)) continue;
        const catalog = new Catalog();
        catalog.set(evolveSnapshot(state, next));
        assert.equal(catalog.states.size === 0, endsSnapshot(type), type);
        seen.add(type);
      }
    }
    assert.ok(seen.size > 4, [...seen].join(' '));
  });
}

test('the exception: Prepare of a directory is one event, recorded when the directory is there', () => {
  // Its only effect is a directory whose name is an id that is never used again, so a crash before
  // the event leaves at most a directory that boot knows by its name and deletes.
  for (const role of roles) {
    const { initialValue, initialContext } = snapshotCharts[role];
    const event = eventOf(role, 'SnapshotPrepared');
    const next = snapshotCharts[role].step(initialValue, initialContext, event);
    assert.ok(next !== undefined);
    assert.equal(next.value.backing, 'directory');
    assert.ok(!snapshotCharts[role].hasTag(next.value, 'inFlight'));
  }
});
