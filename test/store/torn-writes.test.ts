// A crash of the machine: of what was written after the last completed sync any part may be on
// disk. The write-ahead log is cut at each byte of that part (in the short form at some of them);
// every cut opens clean, with all that was acknowledged before.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventNumbers, readAll } from './events.ts';
import { contentEndOf } from '../../src/adapters/level/write-ahead-log.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';
import type { EventStore } from '../../src/engine/ports.ts';
import type { Checkpoint } from '../../src/machines/checkpoint.ts';

/** Bytes between two cuts of the short form: coprime to all record sizes. */
const strideBytes = process.env['VARVE_LONG'] === '1' ? 1 : 97;

const live = ['snapshot-1', 'snapshot-2'];

function logPath(root: string): string {
  const names = readdirSync(join(root, 'log')).filter((name) => name.endsWith('.log'));
  assert.equal(names.length, 1, 'there is one write-ahead log');
  return join(root, 'log', names[0] ?? '');
}

interface Write {
  readonly name: string;
  /** Writes; resolves when the last sync is complete. */
  readonly run: (store: EventStore, numbers: EventNumbers) => Promise<unknown>;
  /** The point before which nothing of it is written, and one by which all of it is. */
  readonly points: readonly [string, string];
}

const writes: readonly Write[] = [
  {
    name: 'an append',
    run: (store, numbers) => store.append(numbers.batch(['node', ...live, 'snapshot-9'])),
    points: ['append:before', 'append:synced'],
  },
  {
    name: 'a checkpoint',
    run: (store, numbers) => store.writeCheckpoint(numbers.checkpoint(live)),
    points: ['checkpoint:before', 'checkpoint:stored'],
  },
  {
    name: 'a compaction',
    run: (store, numbers) => store.compact(numbers.checkpoint(live), new Set(live)),
    points: ['compact:before', 'compact:after'],
  },
];

for (const { name, run, points } of writes) {
  test(`${name} that is torn anywhere loses nothing acknowledged and opens clean`, async (t) => {
    const scratch = scratchRoot();
    t.after(() => removeRoot(scratch));
    const root = join(scratch, 'live');
    const synced = join(scratch, 'synced');
    let written = Buffer.alloc(0);
    let isArmed = false;
    const crashPoint = (point: string): void => {
      if (isArmed && point === points[0]) cpSync(root, synced, { recursive: true });
      if (isArmed && point === points[1]) written = readFileSync(logPath(root));
    };
    const numbers = new EventNumbers();
    const { store } = (await openSound(root, { crashPoint })).opened;
    for (let round = 0; round < 6; round += 1) {
      await store.append(numbers.batch(['node', `snapshot-${10 + round}`, ...live]));
    }
    const acknowledgedSeq = numbers.lastSeq;
    const expected = await readAll(store);
    const checkpoint = numbers.checkpoint(live);
    isArmed = true;
    await run(store, numbers);
    await store.close();

    // Behind what is written the file holds zeros, which were on disk before.
    const before = readFileSync(logPath(synced));
    const from = contentEndOf(before);
    const to = contentEndOf(written);
    assert.deepEqual(written.subarray(0, from), before.subarray(0, from), 'it is in one file');
    assert.ok(to > from);
    const torn = join(scratch, 'torn');
    for (let length = from; length <= to; length += strideBytes) {
      cpSync(synced, torn, { recursive: true });
      const content = Buffer.alloc(written.length);
      written.copy(content, 0, 0, length);
      writeFileSync(logPath(torn), content);
      await assertHolds(torn, { expected, acknowledgedSeq, checkpoint });
      removeRoot(torn);
    }
  });
}

interface Acknowledged {
  readonly expected: Awaited<ReturnType<typeof readAll>>;
  readonly acknowledgedSeq: number;
  /** What was stored, if a checkpoint was. */
  readonly checkpoint: Checkpoint;
}

async function assertHolds(root: string, acknowledged: Acknowledged): Promise<void> {
  const { expected, acknowledgedSeq, checkpoint } = acknowledged;
  const { store } = (await openSound(root)).opened;
  try {
    assert.ok(store.lastSeq >= acknowledgedSeq);
    const isKept = ({ globalSeq }: { globalSeq: number }): boolean => globalSeq >= store.firstSeq;
    const found = await readAll(store, { toSeq: acknowledgedSeq });
    assert.deepEqual(found, expected.filter(isKept));
    for (const stream of live) {
      const kept = await readAll(store, { stream, toSeq: acknowledgedSeq });
      assert.deepEqual(
        kept,
        expected.filter((event) => event.stream === stream),
      );
    }
    assert.deepEqual((await store.readCheckpoint()) ?? checkpoint, checkpoint);
    for await (const damage of store.scrub(new AbortController().signal)) {
      assert.fail(JSON.stringify(damage));
    }
    const numbers = new EventNumbers();
    numbers.lastSeq = store.lastSeq;
    await store.append(numbers.batch(['snapshot-77']));
  } finally {
    await store.close();
  }
  const quarantine = join(root, 'quarantine');
  assert.deepEqual(existsSync(quarantine) ? readdirSync(quarantine) : [], []);
}
