// The write-ahead log is longer than its content, by zeros; nothing of it is ever mistaken for
// content or for damage.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { roomBytes } from '../../src/adapters/level/zero-room.ts';
import { contentEndOf, readLogRecords } from '../../src/adapters/level/write-ahead-log.ts';
import { EventNumbers, readAll } from './events.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

const newestLog = (root: string): string => {
  const names = readdirSync(join(root, 'log')).filter((name) => name.endsWith('.log'));
  return join(root, 'log', names.sort().at(-1) ?? '');
};

const batchOf = (numbers: EventNumbers, count: number): ReturnType<EventNumbers['batch']> =>
  numbers.batch(Array.from({ length: count }, (_, index) => `snapshot-${1 + (index % 9)}`));

test('appends go into room that is there, and the log reads back whole', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  const { store } = (await openSound(root)).opened;
  await store.append(batchOf(numbers, 3));
  const { size } = statSync(newestLog(root));
  assert.ok(size >= roomBytes);
  for (let count = 0; count < 20; count += 1) await store.append(batchOf(numbers, 3));
  assert.equal(statSync(newestLog(root)).size, size, 'the file grew');
  const { isIntact, records } = readLogRecords(readFileSync(newestLog(root)));
  assert.ok(isIntact);
  assert.ok(records.length >= 21);
  const appended = await readAll(store);
  assert.equal(appended.length, 63);
  await store.close();
  const again = (await openSound(root)).opened.store;
  assert.deepEqual(await readAll(again), appended);
  await again.close();
});

test('every log that LevelDB goes on to is extended, and none over its content', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  const { store } = (await openSound(root)).opened;
  await store.append(batchOf(numbers, 1));
  const first = newestLog(root);
  // LevelDB goes on to another log after about four MiB.
  while (newestLog(root) === first) await store.append(batchOf(numbers, 500));
  const second = newestLog(root);
  while (contentEndOf(readFileSync(second)) === statSync(second).size) {
    await store.append(batchOf(numbers, 100));
  }
  assert.ok(readLogRecords(readFileSync(second)).isIntact);
  const appended = await readAll(store);
  assert.equal(appended.length, numbers.lastSeq);
  await store.close();
  const again = (await openSound(root)).opened.store;
  assert.deepEqual(await readAll(again), appended);
  await again.close();
});

test('zeros at the end are room; anything behind them, or a torn record, is not', async (t) => {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const { store } = (await openSound(root)).opened;
  await store.append(batchOf(new EventNumbers(), 4));
  const log = readFileSync(newestLog(root));
  await store.close();
  const end = contentEndOf(log);
  assert.ok(readLogRecords(log).isIntact);
  assert.ok(readLogRecords(log.subarray(0, end)).isIntact);
  assert.ok(readLogRecords(log.subarray(0, end + 3)).isIntact);
  for (const offset of [end + 1, end + 40_000, log.length - 1]) {
    const altered = Buffer.from(log);
    altered[offset] = 1;
    assert.ok(!readLogRecords(altered).isIntact, `byte ${offset}`);
  }
  const torn = Buffer.from(log).fill(0, end - 5);
  assert.ok(!readLogRecords(torn).isIntact);
});
