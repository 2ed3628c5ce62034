// The suite that every event store passes. `open` gives an empty store; `reopen`, where it exists,
// closes and opens it again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutOfRange, type EventStore } from '../../src/engine/ports.ts';
import { eventHash, firstPreviousHash } from '../../src/history/event-hash.ts';
import { EventNumbers, readAll, withoutHashes } from './events.ts';

export interface StoreUnderTest {
  readonly store: EventStore;
  /** Undefined for a store that keeps nothing. */
  readonly reopen: (() => Promise<EventStore>) | undefined;
  close(): Promise<void>;
}

type Body = (subject: StoreUnderTest, numbers: EventNumbers) => Promise<void>;

export function eventStoreSuite(name: string, open: () => Promise<StoreUnderTest>): void {
  const check = (sentence: string, body: Body): void => {
    test(`${name}: ${sentence}`, async () => {
      const subject = await open();
      try {
        await body(subject, new EventNumbers());
      } finally {
        await subject.close();
      }
    });
  };

  check('an empty log begins at 1, ends at 0 and yields nothing', async ({ store }) => {
    assert.equal(store.lastSeq, 0);
    assert.equal(store.firstSeq, 1);
    assert.deepEqual(await readAll(store), []);
    assert.deepEqual(await readAll(store, { stream: 'snapshot-1' }), []);
    assert.equal(await store.readCheckpoint(), undefined);
  });

  check('what was appended is read back in order, by range and by stream', async (subject, n) => {
    const { store } = subject;
    const first = n.batch(['node', 'snapshot-1', 'snapshot-2', 'snapshot-1']);
    const second = n.batch(['snapshot-2', 'node']);
    await store.append(first);
    await store.append([]);
    await store.append(second);
    assert.equal(store.lastSeq, 6);
    const all = [...first, ...second];
    assert.deepEqual((await readAll(store)).map(withoutHashes), all);
    const middle = await readAll(store, { fromSeq: 2, toSeq: 5 });
    assert.deepEqual(middle.map(withoutHashes), all.slice(1, 5));
    const stream = await readAll(store, { stream: 'snapshot-2' });
    assert.deepEqual(stream.map(withoutHashes), [first[2], second[0]]);
    const part = await readAll(store, { stream: 'snapshot-2', fromSeq: 4 });
    assert.deepEqual(part.map(withoutHashes), [second[0]]);
    assert.deepEqual(await readAll(store, { fromSeq: 7 }), []);
    assert.deepEqual(await readAll(store, { toSeq: 99, fromSeq: 6 }).then((e) => e.length), 1);
  });

  check('a stream is not mistaken for one whose name it begins', async ({ store }, n) => {
    await store.append(n.batch(['snapshot-1', 'snapshot-11', 'snapshot-111', 'snapshot-1']));
    const found = await readAll(store, { stream: 'snapshot-1' });
    assert.deepEqual(
      found.map(({ globalSeq }) => globalSeq),
      [1, 4],
    );
  });

  check(
    'hashes chain within each stream, from the zero hash, by the documented formula',
    async (subject, n) => {
      await subject.store.append(n.batch(['snapshot-1', 'snapshot-2', 'snapshot-1']));
      const [a, b, c] = await readAll(subject.store);
      assert.equal(a?.previousHash, firstPreviousHash);
      assert.equal(b?.previousHash, firstPreviousHash);
      assert.equal(c?.previousHash, a?.hash);
      for (const event of [a, b, c]) {
        assert.ok(event !== undefined);
        assert.equal(event.hash, eventHash(withoutHashes(event), event.previousHash));
      }
    },
  );

  check('an event that leaves out a position or a revision is refused', async ({ store }, n) => {
    await store.append(n.batch(['snapshot-1']));
    const [skipped, next] = n.batch(['snapshot-1', 'snapshot-1']);
    assert.ok(skipped !== undefined && next !== undefined);
    await assert.rejects(store.append([next]));
    await assert.rejects(store.append([{ ...skipped, revision: 3 }]));
    assert.equal(store.lastSeq, 1);
    await store.append([skipped, next]);
    assert.equal(store.lastSeq, 3);
  });

  check(
    'more events than one step fetches are read whole, in arrays of a few hundred',
    async (subject, n) => {
      const { store } = subject;
      for (let batch = 0; batch < 11; batch += 1) {
        await store.append(
          n.batch(Array.from({ length: 100 }, (_, index) => `snapshot-${1 + (index % 7)}`)),
        );
      }
      const sizes: number[] = [];
      for await (const part of store.read()) {
        sizes.push(part.length);
      }
      assert.equal(
        sizes.reduce((sum, size) => sum + size),
        1100,
      );
      assert.ok(Math.max(...sizes) <= 500);
      assert.equal((await readAll(store, { stream: 'snapshot-3' })).length, 154);
    },
  );

  check('a read shows the log as it was when the read began', async ({ store }, n) => {
    await store.append(n.batch(Array.from({ length: 600 }, () => 'snapshot-1')));
    const iterator = store.read()[Symbol.asyncIterator]();
    let count = ((await iterator.next()).value as unknown[]).length;
    await store.append(n.batch(['snapshot-1', 'snapshot-2']));
    for (;;) {
      const step = await iterator.next();
      if (step.done === true) break;
      count += (step.value as unknown[]).length;
    }
    assert.equal(count, 600);
  });

  check('the newest checkpoint at or below a position is read back', async ({ store }, n) => {
    await store.append(n.batch(['node', 'snapshot-1']));
    const first = n.checkpoint(['snapshot-1']);
    await store.writeCheckpoint(first);
    await store.append(n.batch(['snapshot-1', 'snapshot-2']));
    const second = n.checkpoint(['snapshot-1', 'snapshot-2']);
    await store.writeCheckpoint(second);
    assert.deepEqual(await store.readCheckpoint(), second);
    assert.deepEqual(await store.readCheckpoint(3), first);
    assert.equal(await store.readCheckpoint(1), undefined);
    await store.append(n.batch(['snapshot-2']));
    const third = n.checkpoint(['snapshot-1', 'snapshot-2']);
    await store.writeCheckpoint(third);
    assert.deepEqual(await store.readCheckpoint(), third);
    assert.equal(await store.readCheckpoint(3), undefined);
  });

  check('a checkpoint of thousands of snapshots is read back whole', async ({ store }, n) => {
    const streams = Array.from({ length: 2500 }, (_, index) => `snapshot-${index + 1}`);
    await store.append(n.batch(streams));
    const checkpoint = n.checkpoint(streams);
    await store.writeCheckpoint(checkpoint);
    assert.deepEqual(await store.readCheckpoint(), checkpoint);
  });

  check('a checkpoint beyond the end is refused', async ({ store }, n) => {
    await store.append(n.batch(['node']));
    await assert.rejects(store.writeCheckpoint({ ...n.checkpoint([]), globalSeq: 2 }));
  });

  check('compaction keeps living streams, refuses older reads and goes on', async (subject, n) => {
    const { store } = subject;
    for (let round = 0; round < 300; round += 1) {
      await store.append(n.batch(['node', `snapshot-${1000 + round}`, 'snapshot-1']));
    }
    const checkpoint = n.checkpoint(['snapshot-1']);
    await store.append(n.batch(['snapshot-1', 'node']));
    const deleted = await store.compact(checkpoint, new Set(['snapshot-1']));
    assert.equal(deleted, 600);
    assert.equal(store.firstSeq, 901);
    assert.deepEqual(await store.readCheckpoint(900), checkpoint);
    await assert.rejects(readAll(store, { fromSeq: 900 }), (error: unknown) => {
      assert.ok(error instanceof OutOfRange);
      assert.equal(error.firstSeq, 901);
      return true;
    });
    assert.equal((await readAll(store)).length, 2);
    assert.equal((await readAll(store, { stream: 'snapshot-1' })).length, 301);
    assert.deepEqual(await readAll(store, { stream: 'snapshot-7' }), []);
    assert.equal((await readAll(store, { stream: 'node' })).length, 1);
    await store.append(n.batch(['snapshot-1', 'node', 'snapshot-1900']));
    const again = n.checkpoint(['snapshot-1', 'snapshot-1900']);
    assert.equal(await store.compact(again, new Set(['snapshot-1', 'snapshot-1900', 'node'])), 0);
    assert.equal((await readAll(store, { stream: 'node' })).length, 2);
    const found = [];
    for await (const damage of store.scrub(new AbortController().signal)) found.push(damage);
    assert.deepEqual(found, []);
  });

  check('a log that is opened again is the same and goes on', async (subject, n) => {
    if (subject.reopen === undefined) {
      return;
    }
    await subject.store.append(n.batch(['node', 'snapshot-1', 'snapshot-2']));
    const checkpoint = n.checkpoint(['snapshot-1', 'snapshot-2']);
    await subject.store.writeCheckpoint(checkpoint);
    await subject.store.append(n.batch(['snapshot-1', 'snapshot-3']));
    const before = await readAll(subject.store);
    let store = await subject.reopen();
    assert.deepEqual(await readAll(store), before);
    assert.deepEqual(await store.readCheckpoint(), checkpoint);
    await store.append(n.batch(['snapshot-1', 'snapshot-2', 'snapshot-3', 'node']));
    await store.compact(
      n.checkpoint(['snapshot-1', 'snapshot-3']),
      new Set(['snapshot-1', 'snapshot-3']),
    );
    store = await subject.reopen();
    assert.equal(store.firstSeq, 10);
    assert.equal((await readAll(store, { stream: 'snapshot-1' })).length, 3);
    await store.append(n.batch(['node', 'snapshot-1']));
    store = await subject.reopen();
    assert.equal((await readAll(store)).length, 2);
    assert.equal((await readAll(store, { stream: 'node' })).length, 1);
  });
}
