// What salvage takes when a key was written more than once.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatabase, writeBatch, type Database } from '../../src/adapters/level/database.ts';
import { checkpointKey, lossesKey } from '../../src/adapters/level/keys.ts';
import { encodeLosses, loadLosses, type Losses } from '../../src/adapters/level/losses.ts';
import { salvageInto } from '../../src/adapters/level/salvage.ts';
import { seal } from '../../src/adapters/level/sealed-value.ts';
import { removeRoot, scratchRoot } from './opened-store.ts';

const lossesAt = (seq: number): Losses => ({
  ranges: [{ fromSeq: seq, toSeq: seq }],
  resumedAtSeq: seq + 1,
});

const put = async (database: Database, key: string, value: string): Promise<void> =>
  await writeBatch(database, [{ type: 'put', key, value }], { sync: false });

test('the newest of a key that one table holds twice is taken', async (t) => {
  const scratch = scratchRoot();
  t.after(() => removeRoot(scratch));
  const folder = join(scratch, 'log');
  const head = checkpointKey(1);
  let database = await openDatabase(folder);
  for (const seq of [7, 31, 44]) {
    await put(database, lossesKey, encodeLosses(lossesAt(seq)));
    await put(database, head, seal(head, `${seq}`));
  }
  await database.close();
  // Opening makes a table of the write-ahead log as it is.
  database = await openDatabase(folder);
  await database.close();
  assert.ok(readdirSync(folder).some((name) => name.endsWith('.ldb')));

  const salvaged = await openDatabase(join(scratch, 'new'));
  t.after(() => salvaged.close());
  await salvageInto(salvaged, [folder]);
  assert.deepEqual(await loadLosses(salvaged), lossesAt(44));
  assert.equal(await salvaged.get(head), seal(head, '44'));
});
