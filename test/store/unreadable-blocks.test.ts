// A block that LevelDB cannot read, in each place where the log can do without it: what lies around
// it is read, what it held is named and nothing else.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { EventStore } from '../../src/engine/ports.ts';
import { statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { batchKey, chunkKey, eventKey, indexKey } from '../../src/adapters/level/keys.ts';
import { openDatabase, writeBatch } from '../../src/adapters/level/database.ts';
import { EventNumbers, readAll } from './events.ts';
import { openSound, removeRoot, scratchRoot, tryOpen } from './opened-store.ts';
import { breakBlock } from './table-blocks.ts';

const streams = Array.from({ length: 300 }, (_, index) => `snapshot-${index + 1}`);

const batchSize = 5;

function scratch(t: TestContext): string {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  return root;
}

/** Some history with checkpoints at the positions answered, all of it in tables. */
async function historyInTables(root: string): Promise<readonly number[]> {
  const numbers = new EventNumbers();
  const seqs: number[] = [];
  let { store } = (await openSound(root)).opened;
  for (let round = 0; round < 3; round += 1) {
    for (let from = 0; from < streams.length; from += batchSize) {
      await store.append(numbers.batch(streams.slice(from, from + batchSize)));
    }
    await store.writeCheckpoint(numbers.checkpoint(streams));
    seqs.push(numbers.lastSeq);
  }
  await store.append(numbers.batch(['node', 'snapshot-1']));
  await store.close();
  ({ store } = (await openSound(root)).opened);
  await store.close();
  return seqs;
}

async function withStore(root: string, body: (store: EventStore) => Promise<void>): Promise<void> {
  const { store } = (await openSound(root)).opened;
  try {
    await body(store);
  } finally {
    await store.close();
  }
}

async function scrubbed(store: EventStore): Promise<(readonly [number, number, string])[]> {
  const found: (readonly [number, number, string])[] = [];
  for await (const { fromSeq, toSeq, reason } of store.scrub(new AbortController().signal)) {
    found.push([fromSeq, toSeq, reason]);
  }
  return found;
}

for (const [which, name] of [
  [1, 'an older'],
  [2, 'the newest'],
] as const) {
  test(`${name} checkpoint that cannot be read is passed over`, async (t) => {
    const root = scratch(t);
    const seqs = await historyInTables(root);
    breakBlock(root, chunkKey(seqs[which] ?? 0, 0));
    await withStore(root, async (store) => {
      const kept = seqs[which === 1 ? 2 : 1];
      assert.equal((await store.readCheckpoint())?.globalSeq, kept);
      assert.equal((await readAll(store)).length, store.lastSeq);
      const numbers = new EventNumbers();
      numbers.lastSeq = store.lastSeq;
      const checkpoint = { ...numbers.checkpoint([]), globalSeq: store.lastSeq };
      await store.writeCheckpoint(checkpoint);
      assert.equal((await store.readCheckpoint())?.globalSeq, store.lastSeq);
      assert.deepEqual(await scrubbed(store), []);
    });
  });
}

test('a table of checkpoints that was cut leaves a log that starts', async (t) => {
  const root = scratch(t);
  const seqs = await historyInTables(root);
  const { table } = breakBlock(root, chunkKey(seqs[1] ?? 0, 0));
  const path = join(root, 'log', table);
  truncateSync(path, Math.floor(statSync(path).size * 0.7));
  const result = await tryOpen(root);
  assert.ok(result.status !== 'refused', JSON.stringify(result));
  if (result.status !== 'open') return;
  const { store } = result.opened;
  try {
    await store.readCheckpoint();
  } finally {
    await store.close();
  }
});

test('records of batches that cannot be read are named, and no others', async (t) => {
  const root = scratch(t);
  await historyInTables(root);
  const { keys } = breakBlock(root, batchKey(400));
  const hidden = keys.filter((key) => key.startsWith('b!')).map((key) => Number(key.slice(2)));
  assert.ok(hidden.length > 10 && hidden.length < 150, `${hidden.length} records`);
  await withStore(root, async (store) => {
    const reason = 'the record of the batch is missing';
    assert.deepEqual(await scrubbed(store), [
      [Math.min(...hidden) - batchSize + 1, Math.max(...hidden), reason],
    ]);
    assert.equal((await readAll(store)).length, store.lastSeq);
  });
});

test('index entries that cannot be read are named together, with whose they are', async (t) => {
  const root = scratch(t);
  await historyInTables(root);
  breakBlock(root, indexKey('snapshot-150', 2));
  await withStore(root, async (store) => {
    const found = await scrubbed(store);
    assert.ok(found.length > 0 && found.length < 10, JSON.stringify(found));
    assert.deepEqual(
      [...new Set(found.map(([, , reason]) => reason))],
      ['the index entry is missing or altered'],
    );
    assert.ok(found.some(([fromSeq, toSeq]) => fromSeq <= 450 && toSeq >= 450));
  });
});

/** Of three hundred streams each second one lives on over a compaction; all of it in tables. */
async function compactedInTables(root: string): Promise<void> {
  const numbers = new EventNumbers();
  let { store } = (await openSound(root)).opened;
  for (let round = 0; round < 3; round += 1) await store.append(numbers.batch(streams));
  const living = streams.filter((_, index) => index % 2 === 0);
  const horizon = numbers.checkpoint(living);
  await store.append(numbers.batch(['node']));
  await store.compact(horizon, new Set(living));
  await store.close();
  ({ store } = (await openSound(root)).opened);
  await store.close();
}

test('an event below the horizon that cannot be read is named, and no others', async (t) => {
  const root = scratch(t);
  await compactedInTables(root);
  const { keys } = breakBlock(root, eventKey(401));
  const hidden = keys.filter((key) => key.startsWith('e!')).map((key) => Number(key.slice(2)));
  await withStore(root, async (store) => {
    const named = new Set<number>();
    for (const [fromSeq, toSeq, reason] of await scrubbed(store)) {
      assert.equal(reason, 'in an unreadable block');
      for (let seq = fromSeq; seq <= toSeq; seq += 1) named.add(seq);
    }
    const living = hidden.filter((seq) => seq % 2 === 1);
    assert.deepEqual(
      living.filter((seq) => !named.has(seq)),
      [],
    );
    assert.ok([...named].every((seq) => seq >= Math.min(...hidden) && seq <= Math.max(...hidden)));
  });
});

test('an event below the horizon that is gone is named by its position', async (t) => {
  const root = scratch(t);
  await compactedInTables(root);
  const database = await openDatabase(join(root, 'log'));
  for (const seq of [1, 403, 705])
    await writeBatch(database, [{ type: 'del', key: eventKey(seq) }], { sync: false });
  await database.close();
  await withStore(root, async (store) => {
    assert.deepEqual(await scrubbed(store), [
      [1, 1, 'missing from the database'],
      [403, 403, 'missing from the database'],
      [705, 705, 'missing from the database'],
    ]);
  });
});
