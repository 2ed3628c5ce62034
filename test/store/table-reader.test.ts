// Our reader of LevelDB's tables, where the index is of no use: it finds what is whole and does not
// take longer for it the less that is.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tableEntries, wouldAbort } from '../../src/adapters/level/table-reader.ts';
import { EventNumbers } from './events.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

/** A table of a few hundred events. */
async function someTable(t: TestContext): Promise<Buffer> {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  let { store } = (await openSound(root)).opened;
  for (let round = 0; round < 40; round += 1) {
    await store.append(numbers.batch(['node', 'snapshot-1', 'snapshot-2', 'snapshot-3']));
  }
  await store.close();
  ({ store } = (await openSound(root)).opened);
  await store.close();
  const name = readdirSync(join(root, 'log')).find((each) => each.endsWith('.ldb'));
  return readFileSync(join(root, 'log', name ?? ''));
}

const keysOf = (table: Buffer): string[] => [...tableEntries(table)].map(({ key }) => key);

test('without its index every entry of a table is found', async (t) => {
  const table = await someTable(t);
  assert.equal(wouldAbort(table), false);
  const expected = keysOf(table);
  assert.ok(expected.length > 300);
  const cut = table.subarray(0, table.length - 48);
  assert.deepEqual(keysOf(cut), expected);
  const foreign = Buffer.alloc(3_001, 'not a block. ');
  assert.deepEqual(keysOf(Buffer.concat([foreign, cut])), expected);
});

test('behind a stretch that is lost the entries are found again', async (t) => {
  const table = await someTable(t);
  const expected = keysOf(table);
  for (const fill of [0, 1, 0xff]) {
    const damaged = Buffer.from(table.subarray(0, table.length - 48)).fill(fill, 5_000, 15_000);
    const found = keysOf(damaged);
    assert.ok(found.length > 50 && found.length < expected.length, `${found.length} entries`);
    assert.deepEqual(
      found,
      expected.filter((key) => found.includes(key)),
    );
    assert.equal(found.at(-1), expected.at(-1));
  }
});

// With a search that is quadratic each of these takes minutes.
test('a table of nothing but noise or zeros holds nothing', { timeout: 60_000 }, () => {
  const sizeBytes = 1024 * 1024;
  let state = 1;
  const noise = Buffer.alloc(sizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    noise.writeUInt32LE(state, offset);
  }
  for (const table of [Buffer.alloc(sizeBytes), noise]) assert.deepEqual(keysOf(table), []);
});
