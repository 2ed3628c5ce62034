// varve.v1.Inspect over a real socket: what it tells of a sound history, and of one that is damaged
// or compacted.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { status, type MethodDefinition } from '@grpc/grpc-js';
import type { Damage } from '../../src/engine/ports.ts';
import {
  controlDefinition as control,
  eventLogDefinition as eventLog,
  inspectDefinition as inspect,
  snapshotsDefinition as snapshots,
} from '../../src/server/grpc/definitions.ts';
import type { StatusDocument } from '../../src/server/status-document.ts';
import { MemoryStore } from './memory-store.ts';
import { servedNode, type ServedNode } from './served-node.ts';

/** NodeStarted, IdsReserved, then one SnapshotPrepared for each key. */
async function withSnapshots(t: TestContext, keys: readonly string[]): Promise<ServedNode> {
  const node = await servedNode(t);
  for (const key of keys) await node.snapshots.call(snapshots.prepare, { key });
  return node;
}

/** A server that found `damage` when it opened the log of another one. */
async function withDamage(
  t: TestContext,
  { store }: ServedNode,
  damage: Damage,
): Promise<ServedNode> {
  store.damage = damage;
  const opened = { store, damage: [damage] };
  return servedNode(t, {
    store,
    opening: (_store, spaceGuard) => ({ status: 'open', opened, spaceGuard }),
  });
}

type AnyMethod = MethodDefinition<object, object>;

async function ended(node: ServedNode, method: unknown, request: object): Promise<string> {
  const definition = method as AnyMethod;
  const { admin } = node;
  const { code, details } = definition.responseStream
    ? await admin.all(definition, request)
    : await admin.call(definition, request);
  return `${status[code]} ${details}`;
}

const damageAt = (fromSeq: number, toSeq = fromSeq): Damage => ({
  ...{ fromSeq, toSeq, reason: 'checksum', streams: [] },
});

type Status = Pick<StatusDocument, 'condition' | 'problem' | 'damage'>;

interface Line {
  readonly kind: string;
  readonly event?: { readonly globalSeq: number };
}

/** The lines of an export, in short, and how it ended. */
async function exported(node: ServedNode): Promise<{ lines: string[]; end: string }> {
  const { code, details, messages } = await node.admin.all(inspect.export, {});
  const text = Buffer.concat(messages.map(({ content }) => content ?? new Uint8Array()));
  const lines = text
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
    .map(({ kind, event }) => (event === undefined ? kind : `${kind} ${event.globalSeq}`));
  return { lines, end: `${status[code]} ${details}` };
}

test('while the log is damaged every admin service says so, where, and what to run', async (t) => {
  const sound = await withSnapshots(t, ['a', 'b', 'c']);
  const node = await withDamage(t, sound, damageAt(4));
  const asked: readonly (readonly [unknown, object])[] = [
    [inspect.state, {}],
    [inspect.snapshot, { key: 'a' }],
    [inspect.why, { key: 'a' }],
    [inspect.diff, { fromSeq: 1 }],
    [inspect.verify, {}],
    [inspect.export, {}],
    [eventLog.read, {}],
    [eventLog.watch, {}],
    [control.compact, { throughSeq: 1 }],
    [control.checkpoint, {}],
  ];
  for (const [method, request] of asked) {
    const answer = await ended(node, method, request);
    assert.match(answer, /^DATA_LOSS .*event 4.*checksum.*varve repair$/);
  }
  assert.match(await ended(node, inspect.status, {}), /^OK/);
  const refused = await node.snapshots.call(snapshots.prepare, { key: 'd' });
  assert.equal(status[refused.code], 'UNAVAILABLE', 'for containerd it is a node to try again');
});

test('a damaged history is exported up to the damage', async (t) => {
  const sound = await withSnapshots(t, ['a', 'b', 'c']);
  const node = await withDamage(t, sound, damageAt(4));
  const { lines, end } = await exported(node);
  assert.deepEqual(lines, ['header', 'event 1', 'event 2', 'event 3']);
  assert.match(end, /^DATA_LOSS event 4 of/);
});

test('of a damaged stream the export has the state, of all others the kept events', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  await node.admin.call(control.compact, { throughSeq: 4 });
  const sound = await exported(node);
  const whole = ['header', 'retained 3', 'retained 4', 'checkpoint', 'snapshot', 'snapshot'];
  assert.deepEqual(sound.lines, [...whole, 'event 5', 'trailer']);
  node.store.damage = damageAt(3);
  const { lines, end } = await exported(node);
  const expected = sound.lines.filter((line) => line !== 'retained 3' && line !== 'trailer');
  assert.deepEqual(lines, expected);
  assert.match(end, /^DATA_LOSS event 3 of/);
});

test('an export holds no stream of which a crash left only the end', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  const secondOfNode = node.store.events[1] ?? assert.fail('ids are reserved');
  await node.admin.call(control.compact, { throughSeq: 4 });
  const whole = await exported(node);
  node.store.events.unshift(secondOfNode);
  assert.deepEqual(await exported(node), whole);
});

test('old history that does not fold is damage to a reader, and the node serves on', async (t) => {
  const first = await withSnapshots(t, ['a', 'b']);
  await first.admin.call(control.checkpoint, {});
  const store = new MemoryStore();
  store.checkpoints.push(...first.store.checkpoints);
  // As if `a` had been removed without ever having been asked for.
  const events = first.store.events.map((event) =>
    event.globalSeq === 3 ? { ...event, type: 'SnapshotRemoved', data: { operationId: 1 } } : event,
  );
  await store.append(events);
  const node = await servedNode(t, { store });
  const { messages } = await node.admin.all(inspect.verify, {});
  const json = messages.at(-1)?.resultJson ?? '';
  const { equal, damage } = JSON.parse(json) as { equal: boolean; damage: Damage[] };
  assert.deepEqual([equal, damage[0]?.fromSeq, damage[0]?.toSeq], [false, 3, 3]);
  assert.match(damage[0]?.reason ?? '', /cannot be folded/);
  assert.match(await ended(node, inspect.state, { atSeq: 3 }), /^DATA_LOSS .*cannot be folded/);
  assert.deepEqual(node.fatal, []);
  assert.match(await ended(node, inspect.state, {}), /^OK/);
});

test('why finds a snapshot that lives on by a name from before the horizon', async (t) => {
  const node = await withSnapshots(t, ['extract', 'gone']);
  await node.snapshots.call(snapshots.commit, { key: 'extract', name: 'layer' });
  await node.snapshots.call(snapshots.remove, { key: 'gone' });
  await node.snapshots.call(snapshots.cleanup, {});
  await node.admin.call(control.compact, { throughSeq: node.store.lastSeq });
  const why = async (key: string): Promise<unknown> => {
    const json = await node.admin.text(inspect.why, { key });
    return (JSON.parse(json) as { histories: object[] }).histories;
  };
  assert.deepEqual(await why('extract'), await why('layer'));
  assert.deepEqual(await why('extract'), await why('#1'));
  const since = `since position ${node.store.firstSeq}, where the history begins`;
  assert.equal(
    await ended(node, inspect.why, { key: 'gone' }),
    `NOT_FOUND no snapshot has or had the key or name "gone" ${since}; ` +
      'varve ls --all lists what there is',
  );
  // Removed after the compaction, its kept events are still there.
  await node.snapshots.call(snapshots.remove, { key: 'layer' });
  assert.deepEqual(await why('extract'), await why('#1'));
});

test('a lost checkpoint at the horizon is damage, and the node serves on', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  await node.admin.call(control.compact, { throughSeq: 4 });
  node.store.checkpoints.length = 0;
  for (const method of [inspect.verify, inspect.export]) {
    assert.match(await ended(node, method, {}), /^DATA_LOSS events 1 to 4.*checkpoint/);
  }
  assert.deepEqual(node.fatal, []);
});

test('damage of history that no read meets is named by verify and by the status', async (t) => {
  const node = await withSnapshots(t, ['a', 'b']);
  const sound = JSON.parse((await node.admin.call(inspect.status, {})).value?.json ?? '') as Status;
  assert.deepEqual([sound.problem, sound.damage], [null, []]);
  node.store.historyDamage = [damageAt(2)];
  const { messages } = await node.admin.all(inspect.verify, {});
  const verified = JSON.parse(messages.at(-1)?.resultJson ?? '') as {
    equal: boolean;
    damage: Damage[];
  };
  assert.deepEqual([verified.equal, verified.damage], [false, [damageAt(2)]]);
  const found = JSON.parse((await node.admin.call(inspect.status, {})).value?.json ?? '') as Status;
  assert.equal(found.condition, 'serving');
  assert.deepEqual(found.damage, [damageAt(2)]);
  assert.match(found.problem ?? '', /stored history is damaged.*run varve repair/);
});

test('the check of all stored history leaves a start alone, and comes minutes later', async (t) => {
  const node = await withSnapshots(t, ['a']);
  assert.equal(node.store.scrubCount, 0);
  const store = new MemoryStore();
  store.historyDamage = [damageAt(1)];
  const later = await servedNode(t, { store, clock: { afterScale: 1e-6 } });
  await later.says('stored history is damaged: run varve verify, then varve repair');
});
