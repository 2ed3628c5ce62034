// Compaction over a log of which a part cannot be read: it drops what it can, leaves the rest for
// the scrub to name and for repair, and the log goes on.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase } from '../../src/adapters/level/database.ts';
import { eventKey } from '../../src/adapters/level/keys.ts';
import { EventNumbers, readAll } from './events.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

const eventCount = 600;

/** Overwrites a part of the block that holds an event, so that LevelDB cannot unpack it. */
function spoilBlockOf(root: string, hash: string): void {
  for (const name of readdirSync(join(root, 'log')).filter((each) => each.endsWith('.ldb'))) {
    const path = join(root, 'log', name);
    const content = readFileSync(path);
    const at = content.indexOf(hash);
    if (at < 0) continue;
    writeFileSync(path, content.fill(0xff, at, at + 64));
    return;
  }
  assert.fail('no table holds the event');
}

/** The positions whose events LevelDB cannot read. */
async function unreadableSeqs(root: string): Promise<number[]> {
  const database = await openDatabase(join(root, 'log'));
  const isUnreadable = (seq: number): boolean => {
    try {
      return database.getSync(eventKey(seq)) === undefined;
    } catch {
      return true;
    }
  };
  try {
    const seqs = Array.from({ length: eventCount }, (_, index) => index + 1);
    return seqs.filter(isUnreadable);
  } finally {
    await database.close();
  }
}

test('compaction passes over a block that cannot be read, and the log goes on', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  const live = ['snapshot-1'];
  let { store } = (await openSound(root)).opened;
  for (let count = 0; count < eventCount; count += 3) {
    await store.append(numbers.batch(['node', `snapshot-${count + 2}`, 'snapshot-1']));
  }
  const checkpoint = numbers.checkpoint(live);
  await store.writeCheckpoint(checkpoint);
  const hash = (await readAll(store, { fromSeq: 301, toSeq: 301 }))[0]?.hash ?? '';
  await store.close();
  // Opening puts what the write-ahead log held into a table.
  await (await openSound(root)).opened.store.close();
  spoilBlockOf(root, hash.slice(0, 16));
  const isDropped = (seq: number): boolean => seq % 3 !== 0;
  const leftCount = (await unreadableSeqs(root)).filter(isDropped).length;
  assert.ok(leftCount > 0, 'a block is unreadable');

  ({ store } = (await openSound(root)).opened);
  const deletedCount = await store.compact(checkpoint, new Set(live));
  assert.equal(deletedCount, (eventCount / 3) * 2 - leftCount);
  await store.append(numbers.batch(['snapshot-1', 'node']));
  await store.close();

  ({ store } = (await openSound(root)).opened);
  assert.equal(store.firstSeq, eventCount + 1);
  assert.equal((await readAll(store)).length, 2);
  await store.append(numbers.batch(['snapshot-1']));
  const found = [];
  for await (const damage of store.scrub(new AbortController().signal)) found.push(damage);
  assert.ok(found.length > 0, 'the scrub names what is left');
  await store.close();
});
