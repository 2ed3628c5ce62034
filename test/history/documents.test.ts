// The documents that people and programs read, from recorded events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffStates } from '../../src/history/diff.ts';
import { NameSearch } from '../../src/history/names.ts';
import { findSnapshot, snapshotDocument } from '../../src/history/snapshot-document.ts';
import { stateDocument } from '../../src/history/state-document.ts';
import { humanSize, isoTime, printable } from '../../src/history/text.ts';
import { treeLines } from '../../src/history/tree.ts';
import { verifyDocument } from '../../src/history/verification.ts';
import { sampleHistory, startUs } from './recorded.ts';

const history = sampleHistory();
const end = history.stateAt(history.events.length);

test('a state document holds position, time, node and every snapshot', () => {
  const state = stateDocument(history.stateAt(5), startUs + 5_000_250);
  assert.equal(state.position, 5);
  assert.equal(state.time, '2026-01-31T09:00:05.000250Z');
  assert.equal(state.node.version, '0.1.0');
  assert.equal(state.node.idsReservedUpTo, 64);
  assert.deepEqual(state.snapshots, [
    {
      id: 1,
      key: 'sha256:aa',
      kind: 'committed',
      role: 'imageLayer',
      lifecycle: 'committed',
      backing: 'directory',
      deviceId: null,
      mode: 'overlayfs',
      quotaBytes: null,
      fileSystem: null,
      parent: '',
      parentId: null,
      labels: { a: '1' },
      created: state.snapshots[0]?.created,
      updated: state.snapshots[0]?.updated,
      usage: { sizeBytes: 1536, inodeCount: 1 },
      operation: null,
      lastFailure: null,
      revision: 3,
      lastSeq: 5,
    },
  ]);
});

test('a state document survives JSON unchanged', () => {
  const state = stateDocument(end);
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
});

test('a snapshot document names ancestors, children, mounts and events', () => {
  const mounts = [{ type: 'overlay', source: 'overlay', options: ['ro'] }];
  const box = snapshotDocument({
    checkpoint: end,
    snapshotId: 2,
    mounts,
    events: history.of('snapshot-2'),
  });
  assert.deepEqual(box?.chain, [{ id: 1, key: 'sha256:aa' }]);
  assert.deepEqual(box.mounts, mounts);
  assert.equal(box.operation?.name, 'mine');
  assert.deepEqual(
    box.events.map((event) => event.globalSeq),
    [6, 8, 12],
  );
  const layer = snapshotDocument({ checkpoint: end, snapshotId: 1, mounts: null, events: [] });
  assert.deepEqual(layer?.children, [{ id: 2, key: 'box', kind: 'active' }]);
  const none = { checkpoint: end, snapshotId: 99, mounts: null, events: [] };
  assert.equal(snapshotDocument(none), undefined);
});

test('a snapshot is found by key, by the name it is about to get, and by #id', () => {
  const idOf = (wanted: string): number | undefined =>
    findSnapshot(end, wanted)?.context.snapshotId;
  assert.equal(idOf('box'), 2);
  assert.equal(idOf('mine'), 2);
  assert.equal(idOf('sha256:aa'), 1);
  assert.equal(idOf('#1'), 1);
  assert.equal(idOf('#99'), undefined);
  assert.equal(idOf('peek'), undefined);
});

test('a removed snapshot is found in the history by every name that it ever bore', () => {
  const idsOf = (wanted: string): readonly number[] => {
    const search = new NameSearch(wanted);
    for (const event of history.events) search.see(event);
    return search.snapshotIds;
  };
  assert.deepEqual(idsOf('peek'), [3]);
  assert.deepEqual(idsOf('extract-1 sha256:aa'), [1]);
  assert.deepEqual(idsOf('sha256:aa'), [1]);
  assert.deepEqual(idsOf('#3'), [3]);
  assert.deepEqual(idsOf('nothing'), []);
});

test('a difference names what came, what went and which fields changed', () => {
  const diff = diffStates(
    stateDocument(history.stateAt(7)),
    stateDocument(history.stateAt(history.events.length)),
  );
  assert.deepEqual(
    diff.removed.map(({ id }) => id),
    [3],
  );
  assert.deepEqual(diff.added, []);
  const [box] = diff.changed;
  const fields = box?.changes.map(({ field }) => field) ?? [];
  assert.equal(box?.id, 2);
  for (const field of ['lifecycle', 'labels.b', 'operation']) assert.ok(fields.includes(field));
  assert.deepEqual(diff.node, []);
});

test('equal states have no difference, and an added snapshot is not also a change', () => {
  const same = diffStates(stateDocument(end), stateDocument(end));
  assert.deepEqual([same.added, same.removed, same.changed, same.node], [[], [], [], []]);
  const grown = diffStates(stateDocument(history.stateAt(2)), stateDocument(history.stateAt(3)));
  assert.equal(grown.added.length, 1);
  assert.deepEqual(grown.changed, []);
});

test('a verification of equal states is equal; one changed field is named with both values', () => {
  const request = { folded: end, live: end, firstSeq: 1, checkedEventCount: 12 };
  assert.equal(verifyDocument(request).equal, true);
  const live = { ...end, node: { ...end.node, horizonSeq: 9 } };
  const result = verifyDocument({ ...request, live });
  assert.equal(result.equal, false);
  assert.deepEqual(result.differences, [{ path: 'node.horizonSeq', folded: 0, live: 9 }]);
});

test('a verification with damage is not equal, whatever the states say', () => {
  const damage = [{ fromSeq: 2, toSeq: 3, reason: 'checksum', streams: ['node'] }];
  const result = verifyDocument({
    folded: end,
    live: end,
    firstSeq: 1,
    checkedEventCount: 12,
    damage,
  });
  assert.equal(result.equal, false);
});

test('a missing snapshot is one difference, not one for every snapshot after it', () => {
  const live = { ...end, snapshots: end.snapshots.slice(1) };
  const request = { folded: end, live, firstSeq: 1, checkedEventCount: 12 };
  assert.deepEqual(
    verifyDocument(request).differences.map(({ path }) => path),
    ['snapshots.#1'],
  );
});

test('the tree draws children below their parents', () => {
  const state = stateDocument(history.stateAt(7));
  assert.deepEqual(
    treeLines(state).map(({ prefix, snapshot }) => prefix + snapshot.key),
    ['sha256:aa', '├─ box', '└─ peek'],
  );
});

test('the tree of a long chain, and of a circle of parents, ends', () => {
  const [layer] = stateDocument(end).snapshots;
  assert.ok(layer);
  const chain = Array.from({ length: 2000 }, (_, index) => ({
    ...layer,
    id: index + 1,
    parentId: index === 0 ? null : index,
  }));
  const state = stateDocument(end);
  assert.equal(treeLines({ ...state, snapshots: chain }).length, 2000);
  const circle = [
    { ...layer, id: 1, parentId: 2 },
    { ...layer, id: 2, parentId: 1 },
  ];
  assert.equal(treeLines({ ...state, snapshots: circle }).length, 2);
});

test('times, sizes and hostile names are written for people', () => {
  assert.equal(isoTime(startUs + 7), '2026-01-31T09:00:00.000007Z');
  assert.equal(humanSize(0), '0 B');
  assert.equal(humanSize(1023), '1023 B');
  assert.equal(humanSize(1536), '1.5 KiB');
  assert.equal(humanSize(5 * 2 ** 30), '5.0 GiB');
  assert.equal(printable('\u009b31m\u007f'), '\\x9b31m\\x7f');
  assert.equal(printable('a\u001b[31mb\u202ec\n'), 'a\\x1b[31mb\\u{202e}c\\x0a');
});
