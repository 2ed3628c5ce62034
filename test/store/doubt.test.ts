// What an opening leaves to be looked into behind the start, and what it keeps for `varve repair`.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Logger } from '../../src/engine/ports.ts';
import { turn } from '../../src/adapters/level/checkpoint-table.ts';
import { eventKey } from '../../src/adapters/level/keys.ts';
import { wouldAbort } from '../../src/adapters/level/table-reader.ts';
import { contentEndOf } from '../../src/adapters/level/write-ahead-log.ts';
import { EventNumbers, quietLogger } from './events.ts';
import { openSound, removeRoot, scratchRoot, tryOpen, type OpenResult } from './opened-store.ts';
import { breakBlock } from './table-blocks.ts';

const streams = Array.from({ length: 60 }, (_, index) => `snapshot-${index + 1}`);

/** A root with a log in tables, all of it before a checkpoint. */
async function history(t: TestContext): Promise<{ root: string; numbers: EventNumbers }> {
  const path = scratchRoot();
  t.after(() => removeRoot(path));
  const root = join(path, 'root');
  const numbers = new EventNumbers();
  let { store } = (await openSound(root)).opened;
  for (let round = 0; round < 20; round += 1) await store.append(numbers.batch(streams));
  await store.close();
  ({ store } = (await openSound(root)).opened);
  await store.writeCheckpoint(numbers.checkpoint(streams));
  await store.close();
  return { root, numbers };
}

/** The root as a kill leaves it: copied while it is open. */
function killed(root: string): string {
  const copy = `${root}-killed`;
  cpSync(root, copy, { recursive: true });
  return copy;
}

const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));

/** A write-ahead log that breaks off within its last record. */
function tear(root: string): void {
  const [log] = filesIn(join(root, 'log'), '.log');
  const content = readFileSync(log ?? '');
  truncateSync(log ?? '', contentEndOf(content) - 3);
}

/** A logger, and the first error that says something. */
function listening(expected: RegExp): { logger: Logger; said: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const error = (_fields: object, message: string): void => {
    if (expected.test(message)) resolve(undefined);
  };
  return { logger: { ...quietLogger, error }, said: promise };
}

async function opened(root: string, logger: Logger = quietLogger): Promise<OpenResult['opened']> {
  const result = await tryOpen(root, { logger });
  assert.ok(result.status === 'open', JSON.stringify(result));
  assert.deepEqual(result.opened.damage, []);
  return result.opened;
}

test('start after start over torn logs and old damage keep one folder of evidence', async (t) => {
  const { root: first, numbers } = await history(t);
  breakBlock(first, eventKey(100));
  let root = first;
  for (let start = 0; start < 4; start += 1) {
    const { logger, said } = listening(/history is damaged|log is damaged/);
    const { store } = await opened(root, logger);
    const isDoubtful = start > 0;
    if (isDoubtful) await said;
    await store.append(numbers.batch(['node']));
    const next = killed(root);
    await store.close();
    tear(next);
    // What was torn off nobody was told of: so is the tip.
    rmSync(join(next, 'log.tip'));
    numbers.lastSeq -= 1;
    numbers.revisions.set('node', (numbers.revisions.get('node') ?? 0) - 1);
    if (isDoubtful) {
      assert.equal(readdirSync(join(root, 'quarantine')).length, 1, `after start ${start}`);
      const [damage] = store.historyDamage;
      assert.ok(damage !== undefined && damage.fromSeq <= 100 && damage.toSeq >= 100);
    }
    root = next;
  }
});

/** A bit of a table over which LevelDB would end the process. */
function spoil(root: string): string {
  const [path = ''] = filesIn(join(root, 'log'), '.ldb');
  const table = readFileSync(path);
  for (let offset = 0; offset < table.length; offset += 1) {
    table[offset] = (table[offset] as number) ^ 0x40;
    if (wouldAbort(table)) {
      writeFileSync(path, table);
      return path;
    }
    table[offset] = (table[offset] as number) ^ 0x40;
  }
  throw new Error('no bit of the table matters to LevelDB');
}

test('after a kill the tables are looked at behind the start, the second time before', async (t) => {
  const { root: live } = await history(t);
  const { store: sound } = await opened(live);
  const root = killed(live);
  await sound.close();
  spoil(root);
  const { logger, said } = listening(/may end the process over damaged tables/);
  const { store } = await opened(root, logger);
  await said;
  const again = killed(root);
  await store.close();
  assert.match(store.historyDamage[0]?.reason ?? '', /^damaged in \d+\.ldb$/);
  const result = await tryOpen(again);
  assert.ok(result.status === 'damaged', result.status);
  assert.match(result.reason, /^damaged in \d+\.ldb$/);
});

test('tables that were looked at and are sound do not hold up the start after a kill', async (t) => {
  const { root: live } = await history(t);
  const { store: sound } = await opened(live);
  const root = killed(live);
  await sound.close();
  const { store } = await opened(root);
  while (readFileSync(join(root, 'log.running'), 'utf8') !== '') await turn();
  const again = killed(root);
  await store.close();
  assert.deepEqual(store.historyDamage, []);
  // Looked at before, this would not be opened.
  spoil(again);
  await (await opened(again)).store.close();
});
