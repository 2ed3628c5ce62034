// A repair that is ended at each of its points, and run again: the log is what one undisturbed
// repair makes of it, and no later repair mixes the old log into the new one.
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RecordedEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';
import { LogDamaged, type EventStore } from '../../src/engine/ports.ts';
import { EventNumbers, readAll } from './events.ts';
import { openSound, removeRoot, repairRoot, scratchRoot, tryOpen } from './opened-store.ts';

const streams = ['snapshot-1', 'snapshot-2', 'snapshot-3'];
const lastSeq = 30;

const logFile = (root: string): string => {
  const name = readdirSync(join(root, 'log')).find((each) => each.endsWith('.log')) ?? '';
  return join(root, 'log', name);
};

/** A log whose event 14 is unreadable, as a crash left it. */
async function makeDamaged(root: string): Promise<void> {
  const numbers = new EventNumbers();
  const { store } = (await openSound(root)).opened;
  for (let round = 0; round < lastSeq; round += 1) {
    await store.append(numbers.batch([streams[round % 3] ?? '']));
  }
  const bytes = readFileSync(logFile(root));
  await store.close();
  bytes[bytes.indexOf('request-14')] = 0x2a;
  writeFileSync(logFile(root), bytes);
  for (const id of [1, 2, 3]) mkdirSync(join(root, 'snapshots', String(id)), { recursive: true });
}

/** Everything readable, over the loss. */
async function readOver(store: EventStore): Promise<StoredEvent[]> {
  await assert.rejects(readAll(store), (error) => error instanceof LogDamaged);
  return [...(await readAll(store, { toSeq: 13 })), ...(await readAll(store, { fromSeq: 15 }))];
}

class Crash extends Error {}

test('a repair may be ended anywhere and run again', async () => {
  const scratch = scratchRoot();
  try {
    const damaged = join(scratch, 'damaged');
    await makeDamaged(damaged);
    const points: string[] = [];
    const undisturbed = join(scratch, 'undisturbed');
    cpSync(damaged, undisturbed, { recursive: true });
    const result = await repairRoot(undisturbed, (name) => points.push(name));
    assert.ok(result.status === 'repaired');
    assert.deepEqual(result.lost, [{ fromSeq: 14, toSeq: 14 }]);
    assert.deepEqual(points, [
      'repair:examined',
      'repair:built',
      'repair:marked',
      'repair:moved',
      'repair:exchanged',
    ]);
    for (const point of points) {
      const root = join(scratch, point.replace(':', '-'));
      cpSync(damaged, root, { recursive: true });
      const crashPoint = (name: string): void => {
        if (name === point) throw new Crash(name);
      };
      await assert.rejects(repairRoot(root, crashPoint), Crash);
      // Not even without the tip may a server that is started in between take the log for empty.
      if (point === 'repair:moved') rmSync(join(root, 'log.tip'));
      // A server started in between stays up or serves; it changes nothing for the worse.
      const between = await tryOpen(root);
      if (between.status === 'open') await between.opened.store.close();
      await repairRoot(root);
      const { store } = (await openSound(root)).opened;
      const events = await readOver(store);
      const kept = events.filter(({ globalSeq }) => globalSeq <= lastSeq);
      assert.equal(kept.length, lastSeq - 1, point);
      assert.equal(events.at(-1)?.type, 'LogRepaired');
      assert.equal(store.lastSeq, lastSeq + 1, point);
      await store.close();
      assert.equal((await repairRoot(root)).status, 'sound', point);
    }
  } finally {
    removeRoot(scratch);
  }
});

test('a later repair takes nothing from before the one that the log comes from', async () => {
  const root = scratchRoot();
  try {
    await makeDamaged(root);
    // The exchange is done, what follows it is not.
    const crashPoint = (name: string): void => {
      if (name === 'repair:exchanged') throw new Crash(name);
    };
    await assert.rejects(repairRoot(root, crashPoint), Crash);
    const { store } = (await openSound(root)).opened;
    const numbers = new EventNumbers();
    numbers.lastSeq = store.lastSeq;
    numbers.revisions.set('node', 1);
    await store.append([numbers.next('node')]);
    await store.append([numbers.next('node')]);
    await store.close();
    const bytes = readFileSync(logFile(root));
    bytes[bytes.indexOf('request-33')] = 0x2a;
    writeFileSync(logFile(root), bytes);
    const again = await repairRoot(root);
    assert.ok(again.status === 'repaired', JSON.stringify(again));
    assert.deepEqual(again.lost, [{ fromSeq: 33, toSeq: 33 }]);
    const { store: repaired } = (await openSound(root)).opened;
    assert.deepEqual(repaired.lost, [
      { fromSeq: 14, toSeq: 14 },
      { fromSeq: 33, toSeq: 33 },
    ]);
    const rest = await readAll(repaired, { fromSeq: 15, toSeq: 32 });
    assert.equal(rest.length, 18);
    assert.equal(rest[16]?.type, 'LogRepaired');
    await repaired.close();
  } finally {
    removeRoot(root);
  }
});

test('a log that a newer varve wrote is left to that version', async () => {
  const root = scratchRoot();
  try {
    const numbers = new EventNumbers();
    const { store } = (await openSound(root)).opened;
    await store.append(numbers.batch(streams));
    const [event] = numbers.batch(['snapshot-1']);
    await store.append([{ ...(event as RecordedEvent), schemaVersion: 99 }]);
    await store.append(numbers.batch(streams));
    const bytes = readFileSync(logFile(root));
    await store.close();
    bytes[bytes.indexOf('request-2')] = 0x2a;
    writeFileSync(logFile(root), bytes);
    const before = readdirSync(join(root, 'log')).sort();
    const refused = await repairRoot(root);
    assert.ok(refused.status === 'refused', JSON.stringify(refused));
    assert.match(refused.reason, /SnapshotLabelsUpdated version 99 was written by a newer varve/);
    assert.ok(before.length > 0 && readdirSync(join(root, 'log')).length > 0, 'it is still there');
    assert.ok(!existsSync(join(root, 'log.new')));
    await assert.doesNotReject(tryOpen(root));
  } finally {
    removeRoot(root);
  }
});
