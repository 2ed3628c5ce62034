// Compaction: the checkpoint at the horizon first, then the horizon, then the deletions in small
// batches, then the mark that they are done. A crash in between leaves a log that reads the same,
// with some events more; the next compaction deletes them. Only events at or below the horizon are
// ever touched, and what cannot be read is passed over: it is left for the scrub to name and for
// repair.
import type { CrashPoint } from '../../engine/ports.ts';
import type { CheckpointRecord } from './checkpoint-record.ts';
import {
  checkpointSeqs,
  dropCheckpoints,
  loadCheckpoint,
  storeCheckpoint,
  turn,
} from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { writeBatch } from './database.ts';
import { deleteEvents } from './event-deletion.ts';
import type { Horizon } from './horizon.ts';
import { droppedThrough, encodeHorizon, resumedAtSeq } from './horizon.ts';
import { batchKey, digits, horizonKey } from './keys.ts';
import { areBlocksReadable } from './readable-blocks.ts';

/** Batch records deleted in one step, so that appends never wait long. */
const stepBatchesMax = 1024;

export interface Compaction {
  readonly database: Database;
  readonly record: CheckpointRecord;
  /** The horizon so far. */
  readonly previous: Horizon;
  readonly liveStreams: ReadonlySet<string>;
  readonly crashPoint: CrashPoint;
  readonly onHorizon: (horizon: Horizon) => void;
}

// The batch that holds the horizon stays, as the link from which the chain of batches goes on.
async function deleteBatchRecords(database: Database, horizonSeq: number): Promise<void> {
  for (;;) {
    const limit = stepBatchesMax;
    const range = { gt: 'b!', lt: batchKey(horizonSeq), limit };
    // What lies behind an unreadable block stays until that is repaired: nobody looks there.
    const keys = await database
      .keys(range)
      .all()
      .catch(() => []);
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
  const deletedCount = await deleteEvents({ ...request, throughSeq: horizonSeq });
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
  if (await areBlocksReadable(database)) {
    await database.compactRange('e!', 'e!' + digits(horizonSeq));
  }
  return deletedCount;
}
