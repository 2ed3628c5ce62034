// Compaction: the checkpoint at the horizon first, then the horizon, then the deletions in small
// batches, then the mark that they are done. A crash in between leaves a log that reads the same,
// with some events more; the next compaction deletes them. Only events at or below the horizon are
// ever touched.
import type { CrashPoint } from '../../engine/ports.ts';
import type { CheckpointRecord } from './checkpoint-record.ts';
import {
  checkpointSeqs,
  dropCheckpoints,
  loadCheckpoint,
  storeCheckpoint,
  turn,
} from './checkpoint-table.ts';
import type { Database, Operation } from './database.ts';
import { fetchBytes, writeBatch } from './database.ts';
import { decodeEvent } from './event-record.ts';
import type { Horizon } from './horizon.ts';
import { droppedThrough, encodeHorizon, resumedAtSeq } from './horizon.ts';
import { batchKey, digits, eventKey, horizonKey, indexKey, parseKey } from './keys.ts';

/** Events looked at in one step, so that appends never wait long. */
const stepEventsMax = 256;

export interface Compaction {
  readonly database: Database;
  readonly record: CheckpointRecord;
  /** The horizon so far. */
  readonly previous: Horizon;
  readonly liveStreams: ReadonlySet<string>;
  readonly crashPoint: CrashPoint;
  readonly onHorizon: (horizon: Horizon) => void;
}

async function deleteEvents(request: Compaction): Promise<number> {
  const { database, liveStreams, crashPoint } = request;
  const lte = eventKey(request.record.checkpoint.globalSeq);
  let deletedCount = 0;
  let after = 'e!';
  for (;;) {
    const limit = stepEventsMax;
    const entries = await database
      .iterator({ gt: after, lte, limit, highWaterMarkBytes: fetchBytes, fillCache: false })
      .all();
    const operations: Operation[] = [];
    for (const [key, value] of entries) {
      after = key;
      const parsed = parseKey(key);
      const event = parsed?.kind === 'event' ? decodeEvent(parsed.seq, value) : undefined;
      // What cannot be read is left for the scrub to name and for repair: not ours to delete.
      if (event !== undefined && !liveStreams.has(event.stream)) {
        operations.push({ type: 'del', key });
        operations.push({ type: 'del', key: indexKey(event.stream, event.revision) });
        deletedCount += 1;
      }
    }
    if (operations.length > 0) {
      await writeBatch(database, operations, { sync: false });
      crashPoint('compact:step');
    }
    if (entries.length < limit) {
      return deletedCount;
    }
    await turn();
  }
}

// The batch that holds the horizon stays, as the link from which the chain of batches goes on.
async function deleteBatchRecords(database: Database, horizonSeq: number): Promise<void> {
  for (;;) {
    const limit = 4 * stepEventsMax;
    const keys = await database.keys({ gt: 'b!', lt: batchKey(horizonSeq), limit }).all();
    if (keys.length > 0) {
      await writeBatch(
        database,
        keys.map((key) => ({ type: 'del', key })),
        { sync: false },
      );
    }
    if (keys.length < limit) {
      return;
    }
    await turn();
  }
}

export async function compactLog(request: Compaction): Promise<number> {
  const { database, record, previous, liveStreams, crashPoint } = request;
  const horizonSeq = record.checkpoint.globalSeq;
  crashPoint('compact:before');
  if ((await loadCheckpoint(database, horizonSeq)) === undefined) {
    await storeCheckpoint(database, record);
  }
  crashPoint('compact:checkpoint');
  const dropped: Record<string, number> = {};
  for (const [stream, head] of record.heads) {
    const revision = liveStreams.has(stream) ? droppedThrough(previous, stream) : head.revision;
    if (revision > 0) {
      dropped[stream] = revision;
    }
  }
  const { losses } = previous;
  const horizon: Horizon = { horizonSeq, isDone: false, dropped, record, losses };
  const storeHorizon = async (isDone: boolean): Promise<void> => {
    const value = encodeHorizon({ horizonSeq, isDone, dropped });
    await writeBatch(database, [{ type: 'put', key: horizonKey, value }], { sync: true });
    request.onHorizon({ ...horizon, isDone });
  };
  await storeHorizon(false);
  crashPoint('compact:horizon');
  const deletedCount = await deleteEvents(request);
  await deleteBatchRecords(database, horizonSeq);
  const [newest, second] = await checkpointSeqs(database);
  const kept = [newest, second, horizonSeq, resumedAtSeq(horizon)].filter(
    (seq) => seq !== undefined,
  );
  await dropCheckpoints(database, new Set(kept));
  crashPoint('compact:deleted');
  await storeHorizon(true);
  crashPoint('compact:after');
  // Gives the space back now rather than when LevelDB happens to merge these files.
  await database.compactRange('e!', 'e!' + digits(horizonSeq));
  return deletedCount;
}
