// A disk that is full, on a small file system of its own: nothing acknowledged is lost, the reserve
// lends what the log needs, a restart works, and the reserve comes back when there is room.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { LogFailure, type EventStore } from '../../src/engine/ports.ts';
import { openLog, type OpenLogResult } from '../../src/adapters/level/open-log.ts';
import { countingClock, EventNumbers, quietLogger, readAll } from './events.ts';
import { removeRoot, scratchRoot, type OpenResult } from './opened-store.ts';

const reserveSizeBytes = 16 * 1024 * 1024;

async function onSmallDisk(body: (root: string, filler: string) => Promise<void>): Promise<void> {
  const scratch = scratchRoot();
  const disk = join(scratch, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'varve-test', disk]);
  try {
    await body(join(disk, 'root'), join(disk, 'filler'));
  } finally {
    execFileSync('umount', ['--lazy', disk]);
    removeRoot(scratch);
  }
}

/** Writes until not one more block fits. */
function fill(path: string): void {
  const file = openSync(path, 'a');
  try {
    for (const size of [1024 * 1024, 4096]) {
      const block = Buffer.alloc(size, 1);
      try {
        for (;;) writeSync(file, block);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
  } finally {
    closeSync(file);
  }
}

async function tryOpen(root: string, reserveBytes = reserveSizeBytes): Promise<OpenLogResult> {
  const shared = { clock: countingClock, logger: quietLogger, crashPoint: () => undefined };
  return await openLog({ root, ...shared, reserveSizeBytes: reserveBytes });
}

async function open(root: string, reserveBytes?: number): Promise<OpenResult> {
  const result = await tryOpen(root, reserveBytes);
  assert.ok(result.status === 'open', JSON.stringify(result));
  assert.deepEqual(result.opened.damage, []);
  return result;
}

/** Appends until the disk is full; returns the last acknowledged position. */
async function appendUntilFailure(store: EventStore, numbers: EventNumbers): Promise<number> {
  for (let count = 0; count < 20_000; count += 1) {
    const acknowledged = numbers.lastSeq;
    try {
      await store.append(numbers.batch(['snapshot-1', 'snapshot-2', 'snapshot-3']));
    } catch (error) {
      assert.ok(error instanceof LogFailure);
      return acknowledged;
    }
  }
  assert.fail('the disk never got full');
}

/** A log that holds one event, closed, its reserve whole. */
async function closedWithReserve(root: string): Promise<EventNumbers> {
  const { opened, spaceGuard } = await open(root);
  const numbers = new EventNumbers();
  await opened.store.append(numbers.batch(['node']));
  await spaceGuard.refresh();
  await opened.store.close();
  return numbers;
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

test('a full disk loses nothing acknowledged, and restarts work from the reserve', async () => {
  await onSmallDisk(async (root, filler) => {
    const reserve = join(root, 'reserve');
    const first = await open(root);
    await first.spaceGuard.refresh();
    assert.equal(first.spaceGuard.isLow, false);
    assert.equal(sizeOf(reserve), reserveSizeBytes);
    const numbers = new EventNumbers();
    await first.opened.store.append(numbers.batch(['node', 'snapshot-1']));
    fill(filler);
    await first.spaceGuard.refresh();
    assert.equal(first.spaceGuard.isLow, true);
    assert.equal(sizeOf(reserve), reserveSizeBytes, 'held until it is needed');
    // The room that an append is lent is the log's own: nobody else gets it.
    await first.opened.store.append(numbers.batch(['snapshot-1']));
    fill(filler);
    const lentOnce = sizeOf(reserve);
    assert.ok(lentOnce > 0 && lentOnce < reserveSizeBytes);
    for (let count = 0; count < 40; count += 1) {
      await first.opened.store.append(numbers.batch(['snapshot-1', 'snapshot-2']));
    }
    assert.equal(sizeOf(reserve), lentOnce);
    const { lastSeq } = first.opened.store;
    await first.opened.store.close();

    // The restart, the disk still full but for the reserve.
    const second = await open(root);
    assert.equal(second.opened.store.lastSeq, lastSeq);
    const events = await readAll(second.opened.store);
    assert.equal(events.length, lastSeq);
    await second.spaceGuard.refresh();
    assert.equal(second.spaceGuard.isLow, true);
    await second.opened.store.append(numbers.batch(['snapshot-1', 'node']));
    const checkpoint = numbers.checkpoint(['snapshot-1']);
    await second.opened.store.compact(checkpoint, new Set(['snapshot-1']));
    await second.opened.store.append(numbers.batch(['snapshot-1']));

    // Room again: the reserve comes back.
    rmSync(filler);
    await second.spaceGuard.refresh();
    assert.equal(second.spaceGuard.isLow, false);
    assert.equal(sizeOf(reserve), reserveSizeBytes);
    await second.opened.store.close();
  });
});

test('what is written until the reserve is used up is there when there is room again', async () => {
  await onSmallDisk(async (root, filler) => {
    const first = await open(root, 1024 * 1024);
    await first.spaceGuard.refresh();
    const numbers = new EventNumbers();
    await first.opened.store.append(numbers.batch(['node']));
    fill(filler);
    const acknowledged = await appendUntilFailure(first.opened.store, numbers);
    assert.ok(acknowledged > 1);
    await first.opened.store.close();
    fill(filler);
    const refused = await tryOpen(root);
    assert.ok(refused.status === 'refused' && refused.awaitsSpace, JSON.stringify(refused));
    assert.match(refused.next, /free space/);
    rmSync(filler);
    const again = await open(root);
    assert.ok(again.opened.store.lastSeq >= acknowledged);
    assert.equal((await readAll(again.opened.store)).length, again.opened.store.lastSeq);
    // A write broke off: all history is looked through behind the start, then the copy goes.
    while (readdirSync(join(root, 'quarantine')).length > 0) await rest(10);
    assert.deepEqual(again.opened.store.historyDamage, []);
    await again.opened.store.close();
  });
});

test('the reserve outlasts somebody who takes all that is lent', async () => {
  await onSmallDisk(async (root, filler) => {
    const numbers = await closedWithReserve(root);
    for (let start = 0; start < 10; start += 1) {
      fill(filler);
      const { store } = (await open(root)).opened;
      fill(filler);
      await store.append(numbers.batch(['node']));
      await store.close();
    }
    assert.ok(sizeOf(join(root, 'reserve')) > 0);
  });
});

test('starts beside somebody who goes on writing never use the reserve up', async () => {
  await onSmallDisk(async (root, filler) => {
    await closedWithReserve(root);
    const reserve = join(root, 'reserve');
    truncateSync(reserve, reserveSizeBytes / 4);
    const writer = setInterval(() => fill(filler), 20);
    try {
      fill(filler);
      for (let start = 0; start < 5; start += 1) {
        const refused = await tryOpen(root);
        assert.ok(refused.status === 'refused' && refused.awaitsSpace, JSON.stringify(refused));
      }
    } finally {
      clearInterval(writer);
    }
    assert.ok(sizeOf(reserve) >= reserveSizeBytes / 4 - 5 * 4096, `${sizeOf(reserve)} bytes left`);
    fill(filler);
    const { store } = (await open(root)).opened;
    assert.equal(store.lastSeq, 1);
    await store.close();
  });
});

test('an opening that finds no room leaves the log as it was', async () => {
  await onSmallDisk(async (root, filler) => {
    const first = await open(root);
    const numbers = new EventNumbers();
    await first.opened.store.append(numbers.batch(['node', 'snapshot-1']));
    await first.opened.store.close();
    rmSync(join(root, 'reserve'), { force: true });
    fill(filler);
    for (let start = 0; start < 3; start += 1) {
      const refused = await tryOpen(root);
      assert.ok(refused.status === 'refused' && refused.awaitsSpace, JSON.stringify(refused));
      assert.deepEqual(readdirSync(join(root, 'quarantine')), []);
    }
    rmSync(filler);
    const last = await open(root);
    assert.equal(last.opened.store.lastSeq, 2);
    await last.opened.store.close();
  });
});

test('a second opening leaves the reserve of the first one alone', async () => {
  await onSmallDisk(async (root, filler) => {
    const { opened, spaceGuard } = await open(root);
    await spaceGuard.refresh();
    fill(filler);
    const second = await tryOpen(root);
    assert.ok(second.status === 'refused');
    assert.match(second.reason, /another process uses the log/);
    assert.equal(sizeOf(join(root, 'reserve')), reserveSizeBytes);
    await opened.store.close();
  });
});
