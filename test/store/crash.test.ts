// What a crash, a failed write and a torn end leave behind. A crash is a copy of the files at that
// moment: the copy is what a restarted process finds.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LogDamaged, LogFailure, type EventStore } from '../../src/engine/ports.ts';
import { eventKey, formatKey, indexKey } from '../../src/adapters/level/keys.ts';
import { openDatabase, writeBatch } from '../../src/adapters/level/database.ts';
import { openLog, type OpenLogResult } from '../../src/adapters/level/open-log.ts';
import { seal } from '../../src/adapters/level/sealed-value.ts';
import { EventNumbers, quietLogger, readAll, withoutHashes } from './events.ts';
import {
  openSound,
  removeRoot,
  repairRoot,
  reserveSizeBytes,
  scratchRoot,
  tryOpen,
} from './opened-store.ts';

async function withRoot(body: (root: string, scratch: string) => Promise<void>): Promise<void> {
  const scratch = scratchRoot();
  try {
    await body(join(scratch, 'root'), scratch);
  } finally {
    removeRoot(scratch);
  }
}

function quarantined(root: string): string[] {
  return existsSync(join(root, 'quarantine')) ? readdirSync(join(root, 'quarantine')) : [];
}

function logFile(root: string): string {
  const names = readdirSync(join(root, 'log')).filter((name) => name.endsWith('.log'));
  assert.equal(names.length, 1);
  return join(root, 'log', names[0] ?? '');
}

test('a crash at each point of an append loses nothing acknowledged and opens clean', async () => {
  await withRoot(async (root, scratch) => {
    const copies: string[] = [];
    let isArmed = false;
    const crashPoint = (name: string): void => {
      if (isArmed && name.startsWith('append:')) {
        const copy = join(scratch, name.replace(':', '-'));
        cpSync(root, copy, { recursive: true });
        copies.push(copy);
      }
    };
    const numbers = new EventNumbers();
    const { store } = (await openSound(root, { crashPoint })).opened;
    const acknowledged = numbers.batch(['node', 'snapshot-1']);
    await store.append(acknowledged);
    isArmed = true;
    await store.append(numbers.batch(['snapshot-1', 'snapshot-2']));
    await store.close();
    assert.equal(copies.length, 3);
    for (const [index, copy] of copies.entries()) {
      const found = (await openSound(copy)).opened.store;
      assert.equal(found.lastSeq, index === 0 ? 2 : 4, copy);
      assert.deepEqual((await readAll(found, { toSeq: 2 })).map(withoutHashes), acknowledged);
      await found.close();
      assert.deepEqual(quarantined(copy), []);
    }
  });
});

test('a crash at each point of checkpoint and compaction leaves a log that reads the same', async () => {
  await withRoot(async (root, scratch) => {
    const copies: string[] = [];
    let isArmed = false;
    const crashPoint = (name: string): void => {
      if (isArmed) {
        const copy = join(scratch, `${copies.length}-${name.replace(':', '-')}`);
        cpSync(root, copy, { recursive: true });
        copies.push(copy);
      }
    };
    const numbers = new EventNumbers();
    const { store } = (await openSound(root, { crashPoint })).opened;
    for (let round = 0; round < 200; round += 1) {
      await store.append(numbers.batch(['node', `snapshot-${10 + round}`, 'snapshot-1']));
    }
    isArmed = true;
    const live = new Set(['snapshot-1']);
    const checkpoint = numbers.checkpoint(['snapshot-1']);
    await store.writeCheckpoint(checkpoint);
    isArmed = false;
    await store.append(numbers.batch(['node', 'snapshot-1']));
    isArmed = true;
    await store.compact(checkpoint, live);
    isArmed = false;
    const expected = await readAll(store, { stream: 'snapshot-1' });
    await store.close();
    assert.ok(copies.length > 8, `only ${copies.length} points`);
    for (const copy of copies) {
      const found = (await openSound(copy)).opened.store;
      const isCompacting = copy.includes('compact');
      const stream = await readAll(found, { stream: 'snapshot-1' });
      assert.deepEqual(stream, isCompacting ? expected : expected.slice(0, -1), copy);
      await scrubbed(found);
      if (isCompacting) {
        await readAll(found, { stream: 'node' });
        await readAll(found, { stream: 'snapshot-12' });
        await found.compact(checkpoint, live);
        assert.equal(found.firstSeq, 601);
        assert.equal((await readAll(found, { stream: 'node' })).length, 1);
        assert.deepEqual(await readAll(found, { stream: 'snapshot-12' }), []);
        assert.deepEqual(await found.readCheckpoint(), checkpoint);
        await scrubbed(found);
      }
      await found.close();
    }
  });
});

async function scrubbed(store: EventStore): Promise<void> {
  for await (const damage of store.scrub(new AbortController().signal)) {
    assert.fail(JSON.stringify(damage));
  }
}

test('a torn end that nobody was told of is dropped without a word', async () => {
  await withRoot(async (root, scratch) => {
    const numbers = new EventNumbers();
    const copy = join(scratch, 'torn');
    const crashPoint = (name: string): void => {
      if (name === 'append:before' && numbers.lastSeq === 4) {
        cpSync(root, copy, { recursive: true });
      }
      if (name === 'append:synced' && numbers.lastSeq === 4) {
        const written = readFileSync(logFile(root));
        const before = readFileSync(logFile(copy));
        appendFileSync(logFile(copy), written.subarray(before.length, before.length + 200));
      }
    };
    const { store } = (await openSound(root, { crashPoint })).opened;
    await store.append(numbers.batch(['node', 'snapshot-1']));
    await store.append(numbers.batch(['snapshot-1', 'snapshot-2']));
    await store.close();
    const found = (await openSound(copy)).opened.store;
    assert.equal(found.lastSeq, 2);
    const again = new EventNumbers();
    again.batch(['node', 'snapshot-1']);
    await found.append(again.batch(['snapshot-3']));
    await found.close();
    assert.deepEqual(quarantined(copy), []);
    const reopened = (await openSound(copy)).opened.store;
    assert.equal((await readAll(reopened)).length, 3);
    await reopened.close();
  });
});

test('a failed write or sync ends the store: nothing more is accepted', async () => {
  for (const point of ['append:before', 'append:synced']) {
    await withRoot(async (root) => {
      let isFailing = false;
      const crashPoint = (name: string): void => {
        if (isFailing && name === point) {
          throw Object.assign(new Error('IO error: injected'), { code: 'LEVEL_IO_ERROR' });
        }
      };
      const numbers = new EventNumbers();
      const { opened, spaceGuard } = await openSound(root, { crashPoint });
      await spaceGuard.refresh();
      await opened.store.append(numbers.batch(['node']));
      isFailing = true;
      const doubtful = numbers.batch(['node']);
      await assert.rejects(opened.store.append(doubtful), LogFailure);
      isFailing = false;
      await assert.rejects(opened.store.append(doubtful), LogFailure);
      await assert.rejects(opened.store.writeCheckpoint(numbers.checkpoint([])), LogFailure);
      // The disk has room: the reserve is for another need.
      assert.equal(spaceGuard.isLow, false);
      assert.equal(statSync(join(root, 'reserve')).size, reserveSizeBytes);
      assert.equal(opened.store.lastSeq, 1);
      await opened.store.close();
      const again = await openSound(root);
      assert.equal(again.opened.store.lastSeq, point === 'append:before' ? 1 : 2);
      await again.opened.store.close();
    });
  }
});

test('a checkpoint whose export cannot be written is stored all the same', async () => {
  await withRoot(async (root) => {
    const numbers = new EventNumbers();
    const { store } = (await openSound(root)).opened;
    await store.append(numbers.batch(['node', 'snapshot-1']));
    mkdirSync(join(root, 'log.export.new'));
    const checkpoint = numbers.checkpoint(['snapshot-1']);
    await store.writeCheckpoint(checkpoint);
    assert.deepEqual(await store.readCheckpoint(), checkpoint);
    await store.append(numbers.batch(['snapshot-1']));
    await store.close();
  });
});

test('a second opening is refused and leaves no trace', async () => {
  await withRoot(async (root) => {
    const { store } = (await openSound(root)).opened;
    await store.append(new EventNumbers().batch(['node']));
    const second = await tryOpen(root);
    assert.ok(second.status === 'refused');
    assert.match(second.reason, /another process uses the log/);
    const repair = await repairRoot(root);
    assert.equal(repair.status, 'refused');
    assert.deepEqual(quarantined(root), []);
    await store.close();
    await (await openSound(root)).opened.store.close();
  });
});

test('a newer format is refused with what to do', async () => {
  await withRoot(async (root) => {
    await (await openSound(root)).opened.store.close();
    const database = await openDatabase(join(root, 'log'));
    const value = seal(formatKey, '{"formatVersion":2}');
    await writeBatch(database, [{ type: 'put', key: formatKey, value }], { sync: true });
    await database.close();
    const result = await tryOpen(root);
    assert.ok(result.status === 'refused');
    assert.match(result.reason, /format 2; this varve knows formats up to 1/);
    assert.match(result.next, /newer/);
  });
});

const isLoss =
  (seq: number) =>
  (error: unknown): boolean =>
    error instanceof LogDamaged &&
    error.damage.isLost === true &&
    error.damage.fromSeq === seq &&
    error.damage.toSeq === seq;

test('damage behind the checkpoint leaves the log open, but its evidence is kept', async () => {
  await withRoot(async (root) => {
    const numbers = new EventNumbers();
    const { store } = (await openSound(root)).opened;
    await store.append(numbers.batch(['node', 'snapshot-1', 'snapshot-2']));
    await store.append(numbers.batch(['snapshot-2', 'snapshot-1']));
    await store.append(numbers.batch(['snapshot-2', 'snapshot-1']));
    await store.close();
    const { store: reopened } = (await openSound(root)).opened;
    const hash = (await readAll(reopened, { fromSeq: 6 }))[0]?.hash ?? '';
    await reopened.writeCheckpoint(numbers.checkpoint(['snapshot-1', 'snapshot-2']));
    await reopened.close();
    const table = readdirSync(join(root, 'log')).find((name) => name.endsWith('.ldb')) ?? '';
    const content = readFileSync(join(root, 'log', table));
    const at = content.indexOf(hash.slice(0, 16));
    assert.ok(at > 0);
    content[at] = 0x2a;
    writeFileSync(join(root, 'log', table), content);
    const { opened } = await openSound(root);
    await assert.rejects(readAll(opened.store), (error: unknown) => {
      assert.ok(error instanceof LogDamaged);
      assert.equal(error.damage.fromSeq, 6);
      assert.equal(error.damage.toSeq, 6);
      assert.deepEqual(error.damage.streams, ['snapshot-2']);
      return true;
    });
    await assert.rejects(readAll(opened.store, { stream: 'snapshot-2' }), LogDamaged);
    assert.equal((await readAll(opened.store, { stream: 'snapshot-1' })).length, 3);
    assert.equal((await readAll(opened.store, { fromSeq: 7 })).length, 1);
    const found = [];
    for await (const damage of opened.store.scrub(new AbortController().signal)) found.push(damage);
    assert.deepEqual(
      found.map(({ fromSeq, toSeq }) => [fromSeq, toSeq]),
      [[6, 6]],
    );
    await opened.store.append(numbers.batch(['snapshot-2']));
    await opened.store.close();
    const repaired = await repairRoot(root);
    assert.ok(repaired.status === 'repaired');
    assert.deepEqual(repaired.lost, [{ fromSeq: 6, toSeq: 6 }]);
    assert.equal(repaired.lastSeq, 9);
    const clean = (await openSound(root)).opened.store;
    assert.equal(clean.firstSeq, 1);
    assert.equal(clean.foldableFromSeq, 8);
    assert.equal((await readAll(clean, { stream: 'snapshot-1' })).length, 3);
    await assert.rejects(readAll(clean, { stream: 'snapshot-2' }), isLoss(6));
    assert.equal((await readAll(clean, { stream: 'snapshot-2', toSeq: 5 })).length, 2);
    assert.equal((await readAll(clean, { stream: 'snapshot-2', fromSeq: 7 })).length, 1);
    await assert.rejects(readAll(clean), isLoss(6));
    assert.equal((await readAll(clean, { fromSeq: 7 })).length, 3);
    await clean.append([{ ...numbers.next('snapshot-2'), globalSeq: 10 }]);
    await clean.close();
    const again = await repairRoot(root);
    assert.equal(again.status, 'sound', JSON.stringify(again));
  });
});

test('what compaction kept of a stream is read, whatever happened to the log since', async () => {
  await withRoot(async (root) => {
    const numbers = new EventNumbers();
    const { store } = (await openSound(root)).opened;
    const streams = ['snapshot-1', 'snapshot-2'];
    await store.append(numbers.batch([...streams, ...streams]));
    const horizon = numbers.checkpoint(streams);
    await store.writeCheckpoint(horizon);
    await store.compact(horizon, new Set(streams));
    await store.append(numbers.batch([...streams, 'snapshot-3', 'snapshot-3']));
    await store.writeCheckpoint(numbers.checkpoint(['snapshot-2', 'snapshot-3']));
    await store.close();
    const database = await openDatabase(join(root, 'log'));
    const keys = [eventKey(7), indexKey('snapshot-3', 1)];
    const operations = keys.map((key) => ({ type: 'del' as const, key }));
    await writeBatch(database, operations, { sync: true });
    await database.close();
    const { opened } = await openSound(root);
    const kept = await readAll(opened.store, { stream: 'snapshot-1', toSeq: 4 });
    assert.deepEqual(
      kept.map(({ globalSeq }) => globalSeq),
      [1, 3],
    );
    await assert.rejects(readAll(opened.store, { stream: 'snapshot-1' }), LogDamaged);
    await opened.store.close();
  });
});

test('started again and again over the same damage, it keeps one copy of the evidence', async () => {
  await withRoot(async (root) => {
    const numbers = new EventNumbers();
    const { store } = (await openSound(root)).opened;
    for (let round = 0; round < 5; round += 1) {
      await store.append(numbers.batch(['node', 'snapshot-1']));
    }
    await store.close();
    const bytes = readFileSync(logFile(root));
    bytes[bytes.indexOf('request-5')] = 0x2a;
    writeFileSync(logFile(root), bytes);
    for (let start = 0; start < 4; start += 1) {
      const result = await tryOpen(root);
      assert.ok(result.status === 'open');
      assert.equal(result.opened.damage[0]?.fromSeq, 5);
      await assert.rejects(result.opened.store.append(numbers.batch(['node'])), LogDamaged);
      await result.opened.store.close();
    }
    assert.ok(quarantined(root).length <= 2, `${quarantined(root).length} folders`);
    const repaired = await repairRoot(root);
    assert.ok(repaired.status === 'repaired');
    assert.equal(repaired.lastSeq, 11);
    assert.deepEqual(repaired.lost, [{ fromSeq: 5, toSeq: 6 }]);
    assert.ok(repaired.notes.some((note) => /Lost: events 5 to 6/.test(note)));
    await (await openSound(root)).opened.store.close();
  });
});

test('a block on which LevelDB stops writing leads to a log that stays up, not to a crash loop', async () => {
  await withRoot(async (root) => {
    let isFailing = false;
    const crashPoint = (name: string): void => {
      if (isFailing && name === 'append:before') {
        throw Object.assign(new Error('Corruption: block'), { code: 'LEVEL_CORRUPTION' });
      }
    };
    const numbers = new EventNumbers();
    const { store } = (await openSound(root, { crashPoint })).opened;
    await store.append(numbers.batch(['node', 'snapshot-1']));
    isFailing = true;
    await assert.rejects(store.append(numbers.batch(['node'])), LogFailure);
    await store.close();
    for (let start = 0; start < 2; start += 1) {
      const result = await tryOpen(root);
      assert.ok(result.status === 'open');
      assert.match(result.opened.damage[0]?.reason ?? '', /unreadable block/);
      assert.equal((await readAll(result.opened.store)).length, 2);
      await result.opened.store.close();
    }
    const repaired = await repairRoot(root);
    assert.ok(repaired.status === 'repaired', JSON.stringify(repaired));
    assert.deepEqual(repaired.lost, []);
    const found = (await openSound(root)).opened.store;
    assert.equal(found.lastSeq, 3);
    await found.close();
  });
});

test('a clock that was set back does not keep the log from being opened', async () => {
  await withRoot(async (root) => {
    const clock = { nowUs: () => 1_700_000_000_000_000, after: () => () => undefined };
    const openThen = async (crashPoint: (name: string) => void): Promise<OpenLogResult> =>
      openLog({ root, clock, logger: quietLogger, crashPoint, reserveSizeBytes });
    const first = await openThen(() => undefined);
    assert.ok(first.status === 'open');
    await first.opened.store.append(new EventNumbers().batch(['node']));
    await first.opened.store.close();
    // An opening that was killed leaves its folder, which is named after the time.
    const cutOff = openThen((name) => {
      if (name === 'open:linked') throw new Error('killed');
    });
    await assert.rejects(cutOff, /killed/);
    assert.equal(quarantined(root).length, 1);
    const second = await openThen(() => undefined);
    assert.ok(second.status === 'open', JSON.stringify(second));
    assert.equal(second.opened.store.lastSeq, 1);
    await second.opened.store.close();
    assert.deepEqual(quarantined(root), []);
  });
});
