// Decides what a repaired log consists of, from a database that holds everything salvaged: every
// sound event that continues its stream stays at its position; what is missing between them is
// named as lost; and behind the last loss there is a checkpoint from which history folds on. The
// log goes on behind its old end, so that no position is used twice.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Checkpoint } from '../../machines/checkpoint.ts';
import type { GapFold, GivenUpSnapshot } from '../../machines/gap-fold.ts';
import type { SeqRange } from '../../engine/ports.ts';
import type { CheckpointRecord, StreamHeads } from './checkpoint-record.ts';
import { checkpointSeqs, loadCheckpoint, storeCheckpoint } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { walk } from './event-slots.ts';
import type { Horizon } from './horizon.ts';
import { loadHorizon, noHorizon } from './horizon.ts';
import { soundEvents, surveyKept } from './kept-survey.ts';
import { joinedRanges, loadLosses, type Losses } from './losses.ts';
import { lastSeqOf } from './verify.ts';

/** What is known besides the salvaged entries. */
export interface RepairKnowledge {
  /** The checkpoint of the export file. */
  readonly exported: CheckpointRecord | undefined;
  readonly tipSeq: number;
  /** Ids of the snapshots' directories; undefined if none could be found. */
  readonly directoryIds: ReadonlySet<number> | undefined;
  readonly startFold: StartFold;
}

/** Begins a fold over gaps from a state; the log itself does not know what events mean. */
export type StartFold = (base: Checkpoint | undefined) => GapFold;

export interface RepairPlan {
  readonly horizon: Horizon;
  /** What is lost after this repair, earlier losses included. */
  readonly losses: Losses;
  /** What this repair could not save. */
  readonly lost: readonly SeqRange[];
  /** The old end of the log; 0 for one of which nothing is known. */
  readonly lastSeq: number;
  /** Events to be deleted: dropped by right before, or not continuing their streams. */
  readonly surplusSeqs: readonly number[];
  /** The state at the old end, folded over what is missing after the newest checkpoint. */
  readonly resumed: CheckpointRecord | undefined;
  /** Positions of the checkpoints that hold, newest first, `resumed` not among them. */
  readonly checkpointSeqs: readonly number[];
  /** The chains' ends at the old end. */
  readonly heads: StreamHeads;
  /** Snapshots that the state at the old end no longer knows. */
  readonly givenUp: readonly GivenUpSnapshot[];
  /** Directories without a record up to this id are kept from now on. */
  readonly orphansKeptUpTo: number;
  /** No id up to this one may be handed out again. */
  readonly idsReservedUpTo: number;
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
    if (record !== undefined) records.push(record);
  }
  return records;
}

const seqOf = (record: CheckpointRecord | undefined): number => record?.checkpoint.globalSeq ?? 0;

/** What a stretch of the log lacks, and what does not belong in it. */
interface Survey {
  readonly lost: readonly SeqRange[];
  readonly surplusSeqs: readonly number[];
}

/** Walks a stretch that has no gaps by right; returns what is missing, and hands on the rest. */
async function walkOver(
  database: Database,
  request: { readonly range: SeqRange; readonly heads: StreamHeads; readonly losses: Losses },
  take: (event: StoredEvent) => void,
): Promise<Survey> {
  const { range, heads, losses } = request;
  const lost: SeqRange[] = [];
  const surplusSeqs: number[] = [];
  const snapshot = database.snapshot();
  try {
    const headsAreComplete = range.fromSeq === 1;
    const walked = { ...range, snapshot, heads, headsAreComplete, losses };
    for await (const piece of walk(database, walked)) {
      if (piece.kind === 'events') {
        piece.events.forEach(take);
      } else if (!piece.isLost) {
        lost.push({ fromSeq: piece.fromSeq, toSeq: piece.toSeq });
        surplusSeqs.push(...piece.unchainedSeqs);
      }
    }
  } finally {
    await snapshot.close();
  }
  return { lost, surplusSeqs };
}

const countIn = (ranges: readonly SeqRange[]): number =>
  ranges.reduce((sum, { fromSeq, toSeq }) => sum + toSeq - fromSeq + 1, 0);

async function knownHorizon(
  database: Database,
  newest: CheckpointRecord | undefined,
): Promise<Horizon> {
  const stored = await loadHorizon(database);
  const known =
    stored === 'damaged' ? { ...noHorizon, losses: await loadLosses(database) } : stored;
  const horizonSeq = newest?.checkpoint.node.horizonSeq ?? 0;
  if (known.horizonSeq >= horizonSeq) return known;
  // The mark is lost, but the state knows how far history was compacted. What it then kept of each
  // stream is what is there.
  const record = await loadCheckpoint(database, horizonSeq);
  const dropped: Record<string, number> = {};
  for (const [stream, { revision }] of record?.heads ?? []) dropped[stream] = revision;
  const seen = new Set<string>();
  for await (const event of soundEvents(database, { fromSeq: 1, toSeq: horizonSeq })) {
    if (seen.has(event.stream)) continue;
    seen.add(event.stream);
    dropped[event.stream] = event.revision - 1;
  }
  return { ...known, horizonSeq, isDone: true, dropped, record };
}

/** All that lies before the newest checkpoint. */
async function surveyHistory(
  database: Database,
  horizon: Horizon,
  newestSeq: number,
): Promise<Survey> {
  const { horizonSeq, losses } = horizon;
  const kept = await surveyKept(database, horizon);
  const range = { fromSeq: horizonSeq + 1, toSeq: newestSeq };
  const heads: StreamHeads = new Map(horizon.record?.heads);
  const since = await walkOver(database, { range, heads, losses }, () => undefined);
  const isStateLost =
    horizonSeq > 0 && horizon.record === undefined && horizonSeq > losses.resumedAtSeq;
  const lostState = isStateLost ? [{ fromSeq: horizonSeq, toSeq: horizonSeq }] : [];
  return {
    lost: [...kept.lost, ...lostState, ...since.lost],
    surplusSeqs: [...kept.surplusSeqs, ...since.surplusSeqs],
  };
}

export async function planRepair(database: Database, known: RepairKnowledge): Promise<RepairPlan> {
  const records = await validCheckpoints(database, known.exported);
  const [newest] = records;
  const horizon = await knownHorizon(database, newest);
  const newestSeq = seqOf(newest);
  const ends = [await lastSeqOf(database, 'e'), await lastSeqOf(database, 'b'), known.tipSeq];
  const lastSeq = Math.max(...ends, newestSeq, horizon.horizonSeq);
  const history = await surveyHistory(database, horizon, newestSeq);

  const fold = known.startFold(newest?.checkpoint);
  const heads: StreamHeads = new Map(newest?.heads);
  // Only where the state at the horizon is lost: what was kept of each stream is all that tells.
  const surplusSeqs = new Set(history.surplusSeqs);
  const untilHorizon = { fromSeq: newestSeq + 1, toSeq: horizon.horizonSeq };
  for await (const event of soundEvents(database, untilHorizon)) {
    if (surplusSeqs.has(event.globalSeq)) continue;
    const { stream, revision, globalSeq, hash } = event;
    fold.apply(event);
    heads.set(stream, { revision, lastSeq: globalSeq, hash });
  }
  const range = { fromSeq: Math.max(newestSeq, horizon.horizonSeq) + 1, toSeq: lastSeq };
  const { losses } = horizon;
  const tail = await walkOver(database, { range, heads, losses }, (event) => {
    fold.apply(event);
  });

  // What was compacted away after the newest checkpoint that is left may have handed out ids, too.
  const unfoldedCount = Math.max(horizon.horizonSeq - newestSeq, 0);
  const lost = joinedRanges([...history.lost, ...tail.lost]);
  const lastLostSeq = Math.max(lost.at(-1)?.toSeq ?? 0, losses.ranges.at(-1)?.toSeq ?? 0);
  const isTailHit = lastLostSeq > newestSeq;
  if (isTailHit) fold.settle(known.directoryIds);
  const resumed = isTailHit ? { checkpoint: fold.toCheckpoint(lastSeq), heads } : undefined;
  const behind = records.map(seqOf).filter((seq) => seq >= lastLostSeq && seq > 0);
  const directoryIdMax = Math.max(0, ...(known.directoryIds ?? []));
  return {
    horizon,
    losses: {
      ranges: joinedRanges([...losses.ranges, ...lost]),
      resumedAtSeq: lastLostSeq === 0 ? 0 : isTailHit ? lastSeq : Math.min(...behind),
    },
    lost,
    lastSeq,
    surplusSeqs: [...history.surplusSeqs, ...tail.surplusSeqs],
    resumed,
    checkpointSeqs: records.map(seqOf),
    heads,
    givenUp: fold.givenUp,
    orphansKeptUpTo: isTailHit ? directoryIdMax : 0,
    idsReservedUpTo: isTailHit
      ? Math.max(fold.idsReservedUpTo(countIn(tail.lost) + unfoldedCount), directoryIdMax)
      : 0,
  };
}
