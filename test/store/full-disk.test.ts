// A disk that is full, on a small file system of its own: nothing acknowledged is lost, the reserve
// is given up, a restart works, and the reserve comes back when there is room.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LogFailure, type EventStore, type Logger } from '../../src/engine/ports.ts';
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
    execFileSync('umount', [disk]);
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

async function tryOpen(root: string, logger: Logger = quietLogger): Promise<OpenLogResult> {
  const crashPoint = (): void => undefined;
  return await openLog({ root, clock: countingClock, logger, crashPoint, reserveSizeBytes });
}

async function open(root: string): Promise<OpenResult> {
  const result = await tryOpen(root);
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

function numbersAt(store: EventStore, events: Awaited<ReturnType<typeof readAll>>): EventNumbers {
  const numbers = new EventNumbers();
  numbers.lastSeq = store.lastSeq;
  for (const { stream, revision } of events) {
    numbers.revisions.set(stream, revision);
  }
  return numbers;
}

test('a full disk loses nothing acknowledged, and restarts work from the reserve', async () => {
  await onSmallDisk(async (root, filler) => {
    const first = await open(root);
    await first.spaceGuard.refresh();
    assert.equal(first.spaceGuard.isLow, false);
    assert.ok(existsSync(join(root, 'reserve')));
    const numbers = new EventNumbers();
    await first.opened.store.append(numbers.batch(['node', 'snapshot-1']));
    fill(filler);
    const acknowledged = await appendUntilFailure(first.opened.store, numbers);
    assert.equal(first.spaceGuard.isLow, true);
    assert.equal(existsSync(join(root, 'reserve')), false);
    await first.opened.store.close();

    // The restart, the disk still full but for the reserve.
    const second = await open(root);
    assert.ok(second.opened.store.lastSeq >= acknowledged);
    const events = await readAll(second.opened.store);
    assert.equal(events.length, second.opened.store.lastSeq);
    await second.spaceGuard.refresh();
    assert.equal(second.spaceGuard.isLow, true);
    const goOn = numbersAt(second.opened.store, events);
    await second.opened.store.append(goOn.batch(['snapshot-1', 'node']));
    const checkpoint = goOn.checkpoint(['snapshot-1']);
    await second.opened.store.compact(checkpoint, new Set(['snapshot-1']));
    await second.opened.store.append(goOn.batch(['snapshot-1']));

    // Room again: the reserve comes back.
    rmSync(filler);
    await second.spaceGuard.refresh();
    assert.equal(second.spaceGuard.isLow, false);
    assert.ok(existsSync(join(root, 'reserve')));
    await second.opened.store.close();
  });
});

test('a start on a full disk gives the reserve up first', async () => {
  await onSmallDisk(async (root, filler) => {
    const first = await open(root);
    const numbers = new EventNumbers();
    await first.opened.store.append(numbers.batch(['node', 'snapshot-1']));
    await first.spaceGuard.refresh();
    await first.opened.store.close();
    fill(filler);
    for (let start = 0; start < 3; start += 1) {
      const again = await open(root);
      assert.equal(again.spaceGuard.isLow, true);
      assert.equal(existsSync(join(root, 'reserve')), false);
      await again.opened.store.append(numbers.batch(['snapshot-1']));
      await again.opened.store.close();
    }
    // Now that room is used up as well: nothing is wrong with the log, and the refusal says what
    // is.
    fill(filler);
    const refused = await tryOpen(root);
    assert.ok(refused.status === 'refused', JSON.stringify(refused));
    assert.match(refused.next, /free space/);
    rmSync(filler);
    const last = await open(root);
    assert.equal(last.opened.store.lastSeq, 5);
    await last.spaceGuard.refresh();
    assert.equal(last.spaceGuard.isLow, false);
    await last.opened.store.close();
    assert.deepEqual(readdirSync(join(root, 'quarantine')), []);
  });
});

test('space below the threshold gives the reserve up before a write fails', async () => {
  await onSmallDisk(async (root, filler) => {
    const { opened, spaceGuard } = await open(root);
    await spaceGuard.refresh();
    fill(filler);
    await spaceGuard.refresh();
    assert.equal(spaceGuard.isLow, true);
    assert.equal(existsSync(join(root, 'reserve')), false);
    const numbers = new EventNumbers();
    await opened.store.append(numbers.batch(['node']));
    await spaceGuard.refresh();
    assert.equal(spaceGuard.isLow, true);
    rmSync(filler);
    await spaceGuard.refresh();
    assert.equal(spaceGuard.isLow, false);
    await opened.store.close();
  });
});
