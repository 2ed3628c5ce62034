// Decides what a repaired log consists of, from a database that holds everything salvaged: from
// which checkpoint it begins, where it ends, and what is lost. Beyond the first gap after the
// newest checkpoint nothing can be kept, since no state can be folded across a gap; before it, the
// log begins at the oldest checkpoint from which everything is there.
import type { SeqRange } from '../../engine/ports.ts';
import type { CheckpointRecord, StreamHeads } from './checkpoint-record.ts';
import { checkpointSeqs, loadCheckpoint, storeCheckpoint } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { walk } from './event-slots.ts';
import type { Horizon } from './horizon.ts';
import { loadHorizon, noHorizon } from './horizon.ts';
import { lastSeqOf } from './verify.ts';

export interface RepairPlan {
  /** The checkpoint from which the log begins; undefined: from its first event. */
  readonly base: CheckpointRecord | undefined;
  /** Whether history before the base must go: the base becomes the horizon. */
  readonly isCut: boolean;
  readonly horizon: Horizon;
  readonly savedThroughSeq: number;
  /** The chains' ends at `savedThroughSeq`. */
  readonly heads: StreamHeads;
  readonly lost: readonly SeqRange[];
  /** Checkpoints that hold, newest first, none beyond `savedThroughSeq`. */
  readonly checkpoints: readonly number[];
  readonly newest: CheckpointRecord | undefined;
}

async function damageIn(
  database: Database,
  range: SeqRange,
  base: CheckpointRecord | undefined,
): Promise<{ lost: SeqRange[]; heads: StreamHeads }> {
  const heads: StreamHeads = new Map(base?.heads);
  const lost: SeqRange[] = [];
  const snapshot = database.snapshot();
  try {
    const headsAreComplete = range.fromSeq === 1;
    for await (const piece of walk(database, { ...range, snapshot, heads, headsAreComplete })) {
      if (piece.kind === 'damage') {
        lost.push({ fromSeq: piece.fromSeq, toSeq: piece.toSeq });
      }
    }
  } finally {
    await snapshot.close();
  }
  return { lost, heads };
}

async function validCheckpoints(
  database: Database,
  exported: CheckpointRecord | undefined,
): Promise<CheckpointRecord[]> {
  if (
    exported !== undefined &&
    (await loadCheckpoint(database, exported.checkpoint.globalSeq)) === undefined
  ) {
    await storeCheckpoint(database, exported);
  }
  const records: CheckpointRecord[] = [];
  for (const seq of await checkpointSeqs(database)) {
    const record = await loadCheckpoint(database, seq);
    if (record !== undefined) {
      records.push(record);
    }
  }
  return records;
}

function seqOf(record: CheckpointRecord | undefined): number {
  return record?.checkpoint.globalSeq ?? 0;
}

export async function planRepair(
  database: Database,
  known: { readonly exported: CheckpointRecord | undefined; readonly tipSeq: number },
): Promise<RepairPlan> {
  const records = await validCheckpoints(database, known.exported);
  const stored = await loadHorizon(database);
  const horizon = stored === 'damaged' ? noHorizon : stored;
  const newest = records[0];
  const newestSeq = seqOf(newest);
  const lastSeq = Math.max(
    await lastSeqOf(database, 'e'),
    await lastSeqOf(database, 'b'),
    known.tipSeq,
    newestSeq,
  );
  // Without any state to begin from, and with the beginning compacted away, nothing can be folded.
  const isFoldable = newest !== undefined || horizon.horizonSeq === 0;
  const fromSeq = isFoldable ? newestSeq + 1 : 1;
  const tail = await damageIn(database, { fromSeq, toSeq: lastSeq }, newest);
  const firstLost = tail.lost[0];
  const savedThroughSeq = !isFoldable
    ? 0
    : firstLost === undefined
      ? lastSeq
      : firstLost.fromSeq - 1;
  const before = await damageIn(
    database,
    { fromSeq: horizon.horizonSeq + 1, toSeq: newestSeq },
    horizon.record,
  );
  const lastLostBefore = before.lost.at(-1)?.toSeq ?? 0;
  const inRange = [...records].reverse().filter((record) => seqOf(record) >= horizon.horizonSeq);
  const bases = inRange.length > 0 ? inRange : records.slice(0, 1);
  const isWhole =
    lastLostBefore === 0 && (horizon.horizonSeq === 0 || horizon.record !== undefined);
  const base = isWhole ? horizon.record : bases.find((record) => seqOf(record) >= lastLostBefore);
  const heads =
    firstLost === undefined || !isFoldable
      ? tail.heads
      : (await damageIn(database, { fromSeq, toSeq: savedThroughSeq }, newest)).heads;
  const beyond =
    savedThroughSeq < lastSeq ? [{ fromSeq: savedThroughSeq + 1, toSeq: lastSeq }] : [];
  return {
    base,
    isCut: !isWhole,
    horizon,
    savedThroughSeq,
    heads: isFoldable ? heads : (new Map() as StreamHeads),
    lost: [...(isFoldable ? before.lost : []), ...beyond],
    checkpoints: isFoldable ? records.map(seqOf) : [],
    newest,
  };
}
