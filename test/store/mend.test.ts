// Damage in old history that keeps LevelDB from going on: a server's start takes it out of the way
// by itself. Damage behind the newest checkpoint is left to an operator.
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { LogFailure } from '../../src/engine/ports.ts';
import { openDatabase, writeBatch } from '../../src/adapters/level/database.ts';
import { eventKey, horizonKey } from '../../src/adapters/level/keys.ts';
import { openOrMend } from '../../src/adapters/level/open-or-mend.ts';
import type { OpenLogResult } from '../../src/adapters/level/opening.ts';
import { GapFold } from '../../src/machines/gap-fold.ts';
import { countingClock, EventNumbers, quietLogger, readAll } from './events.ts';
import {
  openSound,
  removeRoot,
  repairRoot,
  reserveSizeBytes,
  scratchRoot,
} from './opened-store.ts';
import { breakBlock } from './table-blocks.ts';

const streams = Array.from({ length: 50 }, (_, index) => `snapshot-${index + 1}`);

/** A log in tables, with a checkpoint at 200 of 250 events. */
async function makeLog(t: TestContext): Promise<{ root: string; numbers: EventNumbers }> {
  const root = scratchRoot();
  t.after(() => removeRoot(root));
  const numbers = new EventNumbers();
  const { store } = (await openSound(root)).opened;
  for (let round = 0; round < 4; round += 1) await store.append(numbers.batch(streams));
  await store.writeCheckpoint(numbers.checkpoint(streams));
  await store.append(numbers.batch(streams));
  await store.close();
  // Merged, so that tables hold it all and each of their blocks holds one kind of key.
  const database = await openDatabase(join(root, 'log'));
  await database.compactRange('a', 'z');
  await database.close();
  return { root, numbers };
}

async function start(root: string, onAppend: () => void = () => undefined): Promise<OpenLogResult> {
  const crashPoint = (name: string): void => {
    if (name === 'append:before') onAppend();
  };
  const ports = { clock: countingClock, logger: quietLogger, crashPoint };
  const startFold = (base?: ConstructorParameters<typeof GapFold>[0]): GapFold => new GapFold(base);
  return await openOrMend({ root, ...ports, startFold, reserveSizeBytes });
}

async function serves(root: string, numbers: EventNumbers): Promise<number> {
  const result = await start(root);
  assert.ok(result.status === 'open', JSON.stringify(result));
  const { store, damage } = result.opened;
  assert.deepEqual(damage, []);
  numbers.lastSeq = store.lastSeq;
  await store.append(numbers.batch([`snapshot-${1000 + store.lastSeq}`]));
  const lostCount = store.lost.reduce((sum, { fromSeq, toSeq }) => sum + toSeq - fromSeq + 1, 0);
  const behind = await readAll(store, { fromSeq: store.foldableFromSeq });
  assert.equal(behind.at(-1)?.globalSeq, numbers.lastSeq);
  await store.close();
  return lostCount;
}

test('a write that failed over a block of old history is followed by a start that serves', async (t) => {
  const { root, numbers } = await makeLog(t);
  const { keys } = breakBlock(root, eventKey(20));
  assert.ok(!keys.includes(eventKey(201)), 'the tail is whole');
  const failing = await start(root, () => {
    throw Object.assign(new Error('Corruption: block'), { code: 'LEVEL_CORRUPTION' });
  });
  assert.ok(failing.status === 'open');
  await assert.rejects(failing.opened.store.append(numbers.batch(['snapshot-1'])), LogFailure);
  await failing.opened.store.close();
  assert.equal(await serves(root, numbers), keys.length, 'what the block held, and no more');
  assert.equal(await serves(root, numbers), keys.length, 'once is enough');
  assert.equal((await repairRoot(root)).status, 'sound');
});

test('a table of old history that is gone is followed by a start that serves', async (t) => {
  const { root, numbers } = await makeLog(t);
  // What comes after lies in tables of its own.
  const before = readdirSync(join(root, 'log'));
  const { store } = (await openSound(root)).opened;
  await store.writeCheckpoint(numbers.checkpoint(streams));
  await store.append(numbers.batch(['snapshot-2']));
  await store.close();
  const oldest = before.filter((name) => name.endsWith('.ldb')).sort()[0] ?? '';
  rmSync(join(root, 'log', oldest));
  rmSync(join(root, 'quarantine'), { recursive: true, force: true });
  const lostCount = await serves(root, numbers);
  assert.ok(lostCount > 0 && lostCount <= 250, `${lostCount}`);
});

test('a mark of the horizon that is damaged is followed by a start that serves', async (t) => {
  const { root, numbers } = await makeLog(t);
  const { store } = (await openSound(root)).opened;
  const kept = streams.slice(0, 20);
  const checkpoint = numbers.checkpoint(kept);
  await store.compact(checkpoint, new Set(kept));
  const compacted = { horizonSeq: checkpoint.globalSeq, removedEventCount: 1 };
  await store.append([numbers.next('node', { type: 'LogCompacted', data: compacted })]);
  await store.writeCheckpoint(numbers.checkpoint(kept));
  await store.close();
  const database = await openDatabase(join(root, 'log'));
  const altered = { type: 'put', key: horizonKey, value: 'altered' } as const;
  await writeBatch(database, [altered], { sync: true });
  await database.close();
  assert.equal(await serves(root, numbers), 0, 'what was compacted is not lost');
  const again = await start(root);
  assert.ok(again.status === 'open');
  assert.equal(again.opened.store.firstSeq, checkpoint.globalSeq + 1);
  for (const stream of kept) {
    const events = await readAll(again.opened.store, { stream, toSeq: checkpoint.globalSeq });
    assert.equal(events.length, 5, stream);
  }
  await again.opened.store.close();
});

test('without the tip nothing is mended: nobody knows where the log ended', async (t) => {
  const { root, numbers } = await makeLog(t);
  breakBlock(root, eventKey(20));
  const failing = await start(root, () => {
    throw Object.assign(new Error('Corruption: block'), { code: 'LEVEL_CORRUPTION' });
  });
  assert.ok(failing.status === 'open');
  await assert.rejects(failing.opened.store.append(numbers.batch(['snapshot-1'])), LogFailure);
  await failing.opened.store.close();
  rmSync(join(root, 'log.tip'));
  const result = await start(root);
  assert.ok(result.status === 'open' && result.opened.damage.length > 0);
  await result.opened.store.close();
});

test('damage behind the newest checkpoint is left to an operator', async (t) => {
  const { root } = await makeLog(t);
  breakBlock(root, eventKey(230));
  for (let count = 0; count < 2; count += 1) {
    const result = await start(root);
    assert.ok(result.status === 'open');
    assert.ok(result.opened.damage.some(({ fromSeq, toSeq }) => fromSeq <= 230 && toSeq >= 230));
    await result.opened.store.close();
  }
  const repaired = await repairRoot(root);
  assert.ok(repaired.status === 'repaired');
  assert.ok(repaired.lost.some(({ fromSeq, toSeq }) => fromSeq <= 230 && toSeq >= 230));
});
