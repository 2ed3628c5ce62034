// Tables that LevelDB deletes when it opens a log. What it merges or wrote twice is no loss; what
// it takes away for want of knowing it is evidence that must stay.
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { currentTables } from '../../src/adapters/level/manifest.ts';
import { EventNumbers, quietLogger } from './events.ts';
import { removeRoot, scratchRoot, tryOpen } from './opened-store.ts';

const tableNames = (root: string): readonly string[] =>
  readdirSync(join(root, 'log')).filter((name) => name.endsWith('.ldb'));

const keptFolders = (root: string): readonly string[] => readdirSync(join(root, 'quarantine'));

/** Opens and closes; answers the errors that were logged. */
async function opened(
  root: string,
  append: (numbers: EventNumbers) => ReturnType<EventNumbers['batch']> = () => [],
): Promise<readonly string[]> {
  const errors: string[] = [];
  const logger = {
    ...quietLogger,
    error: (_fields: object, message: string) => void errors.push(message),
  };
  const result = await tryOpen(root, { logger });
  assert.ok(result.status === 'open');
  assert.deepEqual(result.opened.damage, []);
  await result.opened.store.append(append(new EventNumbers()));
  await result.opened.store.close();
  return errors;
}

/** A root whose events are all in one table. */
async function rootWithTable(t: TestContext, eventCount: number): Promise<string> {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const streams = Array.from({ length: eventCount }, (_, index) => `snapshot-${index + 1}`);
  await opened(root, (numbers) => numbers.batch(streams));
  // Opening puts what the write-ahead log held into a table.
  await opened(root);
  assert.equal(tableNames(root).length, 1);
  return root;
}

test('a MANIFEST names the tables of its database', async (t) => {
  const root = await rootWithTable(t, 10);
  const named = [...(await currentTables(join(root, 'log')))];
  assert.deepEqual(
    named,
    tableNames(root).map((name) => parseInt(name, 10)),
  );
  assert.deepEqual([...(await currentTables(join(root, 'snapshots')))], []);
});

test('a table left by a merge that was broken off goes without a word', async (t) => {
  const root = await rootWithTable(t, 10);
  copyFileSync(join(root, 'log', tableNames(root)[0] ?? ''), join(root, 'log', '000900.ldb'));
  assert.deepEqual(await opened(root), []);
  assert.ok(!tableNames(root).includes('000900.ldb'));
  assert.deepEqual(keptFolders(root), []);
});

test('a table that a kill left half written goes without a word', async (t) => {
  const root = await rootWithTable(t, 10);
  const table = readFileSync(join(root, 'log', tableNames(root)[0] ?? ''));
  writeFileSync(join(root, 'log', '000900.ldb'), table.subarray(0, table.length >> 1));
  assert.deepEqual(await opened(root), []);
  assert.deepEqual(keptFolders(root), []);
});

test('a discarded table that held more than the log still has is kept and reported', async (t) => {
  const root = await rootWithTable(t, 10);
  const longer = await rootWithTable(t, 20);
  copyFileSync(join(longer, 'log', tableNames(longer)[0] ?? ''), join(root, 'log', '000900.ldb'));
  const [error, ...others] = await opened(root);
  assert.match(error ?? '', /tables that held history.*varve verify.*varve repair/s);
  assert.deepEqual(others, []);
  const [folder] = keptFolders(root);
  assert.ok(readdirSync(join(root, 'quarantine', folder ?? '')).includes('000900.ldb'));
  // The next start has nothing to complain of, and keeps the evidence.
  assert.deepEqual(await opened(root), []);
  assert.ok(keptFolders(root).includes(folder ?? ''));
});
