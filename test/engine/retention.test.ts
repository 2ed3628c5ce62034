// What a user of a node notices of retention over days and months: what is still there, what is
// gone, and that the log comes to rest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldLog } from '../../src/engine/boot.ts';
import { dayMs, hourMs, LongLivedNode, type Retention } from './long-lived-node.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';

async function startedNode(retention: Partial<Retention> = {}): Promise<LongLivedNode> {
  const node = new LongLivedNode(retention);
  await node.start();
  return node;
}

const seqs = (events: readonly RecordedEvent[]): number[] =>
  events.map(({ globalSeq }) => globalSeq);

const streamOf = (node: LongLivedNode, key: string): string => {
  const isOfKey = ({ data }: RecordedEvent): boolean => (data as { key?: string }).key === key;
  return node.recorded.find(isOfKey)?.stream ?? assert.fail(`${key} was prepared`);
};

/** Whether the log still tells everything that was ever recorded of a stream. */
async function isWhole(node: LongLivedNode, stream: string): Promise<boolean> {
  const recorded = node.recorded.filter((event) => event.stream === stream);
  return JSON.stringify(seqs(await node.kept(stream))) === JSON.stringify(seqs(recorded));
}

test('what is younger than the maximum age is there, what is older is dropped', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  for (let day = 0; day < 20; day += 1) await node.busyDay(10);
  const youngestUs = node.clock.nowUs() - 7 * dayMs * 1_000;
  const oldestUs = node.clock.nowUs() - 8 * dayMs * 1_000;
  const kept = await node.kept();
  const young = node.recorded.filter(({ timeUs }) => timeUs >= youngestUs);
  assert.deepEqual(seqs(kept).slice(-young.length), seqs(young));
  assert.ok(young.length > 7 * 30);
  for (const event of kept) assert.ok(event.timeUs >= oldestUs, `${event.type} is too old`);
});

test('no more events are kept than the maximum count, and the newest of them always', async () => {
  const node = await startedNode({ maxEventCount: 160 });
  for (let day = 0; day < 5; day += 1) {
    await node.busyDay(100);
    const kept = seqs(await node.kept());
    // A look takes place every ten minutes, and few events come in between.
    assert.ok(kept.length <= 160 + 10, `${kept.length} events are kept`);
    assert.ok(kept.length >= 140, `${kept.length} events are kept`);
    assert.equal(kept.at(-1), node.store.lastSeq);
  }
});

test('the history of a snapshot that lives on is kept whole, however old it is', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.prepare('old');
  for (let day = 0; day < 30; day += 1) {
    await node.relabel('old', String(day));
    await node.busyDay(5);
  }
  assert.ok(node.compactionCount > 0);
  assert.ok(await isWhole(node, streamOf(node, 'old')));
});

test('the history of a removed snapshot stays whole until its end is too old', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.prepare('old');
  const stream = streamOf(node, 'old');
  for (let day = 0; day < 30; day += 1) await node.busyDay(5);
  await node.remove('old');
  for (let day = 0; day < 6; day += 1) await node.busyDay(5);
  assert.ok(await isWhole(node, stream), 'it was removed within the maximum age');
  for (let day = 0; day < 3; day += 1) await node.busyDay(5);
  assert.deepEqual(await node.kept(stream), []);
});

test('an idle node comes to rest: its log does not grow by what is dropped', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.prepare('lives');
  await node.busyDay(50);
  await node.clock.pass(30 * dayMs);
  assert.ok(node.compactionCount >= 1 && node.compactionCount <= 3, `${node.compactionCount}`);
  const { lastSeq } = node.store;
  await node.clock.pass(30 * dayMs);
  assert.equal(node.store.lastSeq, lastSeq);
});

test('a node that is full and then idle comes to rest, too', async () => {
  const node = await startedNode({ maxEventCount: 60 });
  const keys = Array.from({ length: 100 }, (_, index) => `container-${index}`);
  for (const key of keys) await node.prepare(key);
  // All end one after the other in the log, so that each event more would push an end out.
  node.isDeletionHeld = true;
  for (const key of keys) await node.remove(key);
  node.releaseDeletions();
  await node.clock.pass(6 * dayMs);
  assert.equal(node.compactionCount, 1);
});

test('a node that is busy every day drops in portions, and the node’s own events with them', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  for (let day = 0; day < 20; day += 1) await node.busyDay(20);
  assert.ok(node.compactionCount <= 13 * 3, `${node.compactionCount} compactions in 13 days`);
  const keptCount = (await node.kept('node')).length;
  assert.ok(keptCount <= 8 * 3 + 3, `${keptCount} events of the node are kept`);
});

test('a node that starts again and again does not keep all of that for ever', async () => {
  const node = await startedNode({ maxAgeMs: hourMs });
  for (let count = 0; count < 1_300; count += 1) {
    await node.crash();
    await node.clock.pass(hourMs / 5);
  }
  assert.ok((await node.kept('node')).length <= 1_000);
});

test('starts and stops alone are no reason to drop anything', async () => {
  const node = await startedNode({ maxAgeMs: hourMs });
  for (let count = 0; count < 50; count += 1) await node.crash();
  await node.clock.pass(10 * dayMs);
  assert.equal(node.compactionCount, 0);
  assert.equal(node.store.firstSeq, 1);
});

test('work that is not resolved is never dropped: its outcome still names its request', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.prepare('stuck');
  const stream = streamOf(node, 'stuck');
  await node.prepare('gone');
  await node.remove('gone');
  node.isDeletionHeld = true;
  await node.remove('stuck');
  const requestId = node.recorded.at(-1)?.cause.requestId;
  node.isDeletionHeld = false;
  for (let day = 0; day < 20; day += 1) await node.busyDay(5);
  assert.ok(node.compactionCount > 0);
  await node.crash();
  await node.clock.pass(1_000);
  const outcome = node.recorded.findLast((event) => event.stream === stream);
  assert.equal(outcome?.type, 'SnapshotRemoved');
  assert.equal(outcome.cause.requestId, requestId);
});

test('an operator drops as much as asked for, but never work that is not resolved', async () => {
  const node = await startedNode();
  await node.busyDay(10);
  node.isDeletionHeld = true;
  await node.prepare('stuck');
  await node.remove('stuck');
  const startedSeq = node.store.lastSeq;
  node.isDeletionHeld = false;
  await node.busyDay(10);
  const operator = { kind: 'operator' } as const;
  await node.call((engine) => engine.compact(20, operator));
  assert.equal(node.store.firstSeq, 21);
  await node.call((engine) => engine.compact(node.store.lastSeq, operator));
  assert.equal(node.store.firstSeq, startedSeq);
});

test('R-06: a start after the node’s events were dropped hands out no id twice', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.busyDay(20);
  await node.clock.pass(30 * dayMs);
  assert.ok(!(await node.kept('node')).some(({ type }) => type === 'IdsReserved'));
  await node.crash();
  await node.busyDay(20);
  const ids = node.recorded.flatMap(({ type, stream }) =>
    type === 'SnapshotPrepared' ? [stream] : [],
  );
  assert.equal(ids.length, 40);
  assert.equal(new Set(ids).size, ids.length);
});

test('what is left folds to the very state that the node has', async () => {
  const node = await startedNode({ maxAgeMs: 7 * dayMs });
  await node.prepare('lives');
  for (let day = 0; day < 10; day += 1) {
    await node.busyDay(20);
    const folded = (await foldLog(node.store)).toCheckpoint();
    assert.deepEqual(folded, node.engine.checkpoint());
  }
  const { engine } = node;
  const before = engine.checkpoint().snapshots;
  await node.crash();
  assert.deepEqual(node.engine.checkpoint().snapshots, before);
});
