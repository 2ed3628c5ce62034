// What a log must still hold after compaction, said from all events that were ever durable: all
// after the horizon, all of what lived there, nothing else; and it folds to the same state.
import assert from 'node:assert/strict';
import { foldLog } from '../../src/engine/boot.ts';
import { snapshotStream } from '../../src/machines/snapshot/events.ts';
import { replay } from './folded-state.ts';
import type { EventStore, ReadOptions } from '../../src/engine/ports.ts';
import type { RecordedEvent } from '../../src/machines/kernel/envelope.ts';

async function seqsOf(log: EventStore, options: ReadOptions = {}): Promise<number[]> {
  const seqs: number[] = [];
  for await (const events of log.read(options)) seqs.push(...events.map((one) => one.globalSeq));
  return seqs;
}

export async function assertLogHolds(
  log: EventStore,
  events: readonly RecordedEvent[],
): Promise<void> {
  const horizonSeq = log.firstSeq - 1;
  const atHorizon = replay(events.slice(0, horizonSeq));
  const living = new Set([...atHorizon.catalog.states.keys()].map(snapshotStream));
  const mustHold = events.filter(
    ({ globalSeq, stream }) => globalSeq > horizonSeq || living.has(stream),
  );
  const after = mustHold.filter(({ globalSeq }) => globalSeq > horizonSeq);
  assert.deepEqual(
    await seqsOf(log),
    after.map(({ globalSeq }) => globalSeq),
  );
  for (const stream of new Set(events.map((event) => event.stream))) {
    const expected = mustHold.filter((event) => event.stream === stream);
    assert.deepEqual(
      await seqsOf(log, { stream }),
      expected.map(({ globalSeq }) => globalSeq),
      `the history of ${stream}`,
    );
  }
  assert.deepEqual((await foldLog(log)).toCheckpoint(), replay(events).toCheckpoint());
}
