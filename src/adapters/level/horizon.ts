// What may be missing from the log by right. History at or below the horizon was compacted away,
// but for streams that live on. The horizon names the streams that its checkpoint knows and whose
// events were dropped all the same, with the last revision dropped, so that a stream whose
// beginning is missing can be told from one that was compacted. And what repairs could not save is
// known as lost.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { CheckpointRecord, StreamHead } from './checkpoint-record.ts';
import { loadCheckpoint } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { horizonKey } from './keys.ts';
import { isLossBetween, loadLosses, noLosses, type Losses } from './losses.ts';
import { seal, unsealJson } from './sealed-value.ts';

export interface StoredHorizon {
  readonly horizonSeq: number;
  /** Whether all deletions are done; a crash in between leaves some events that nobody may miss. */
  readonly isDone: boolean;
  /** The last dropped revision of streams that go on. */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface Horizon extends StoredHorizon {
  /** The state at the horizon; undefined before any compaction, or when it is lost. */
  readonly record: CheckpointRecord | undefined;
  readonly losses: Losses;
}

export const noHorizon: Horizon = {
  horizonSeq: 0,
  isDone: true,
  dropped: {},
  record: undefined,
  losses: noLosses,
};

export function encodeHorizon(horizon: StoredHorizon): string {
  const { horizonSeq, isDone, dropped } = horizon;
  return seal(horizonKey, JSON.stringify({ horizonSeq, isDone, dropped }));
}

/** The stored horizon; `damaged` when there is one that cannot be read. */
export async function loadHorizon(database: Database): Promise<Horizon | 'damaged'> {
  let value: string | undefined;
  try {
    value = await database.get(horizonKey);
  } catch {
    // LevelDB found the block unreadable.
    return 'damaged';
  }
  const losses = await loadLosses(database);
  if (value === undefined) {
    return { ...noHorizon, losses };
  }
  const stored = unsealJson(horizonKey, value) as StoredHorizon | undefined;
  return stored === undefined
    ? 'damaged'
    : { ...stored, losses, record: await loadCheckpoint(database, stored.horizonSeq) };
}

/** The last revision of a stream that was dropped by right. */
export function droppedThrough(horizon: StoredHorizon, stream: string): number {
  return horizon.dropped[stream] ?? 0;
}

/** The position from which on history folds without a gap. */
export function resumedAtSeq(horizon: Horizon): number {
  return Math.max(horizon.horizonSeq, horizon.losses.resumedAtSeq);
}

/** Whether a stream may begin at this revision and position, given what was compacted or lost. */
export function mayBegin(
  horizon: Horizon,
  first: { readonly stream: string; readonly revision: number; readonly globalSeq: number },
): boolean {
  const dropped = droppedThrough(horizon, first.stream);
  if (first.revision === dropped + 1) {
    return true;
  }
  if (first.revision > dropped + 1 && isLossBetween(horizon.losses, 0, first.globalSeq)) {
    return true;
  }
  // Deletion goes on upwards from the beginning; a crash leaves the rest of a stream that was to
  // go.
  const isToGo = dropped > 0 || horizon.record?.heads.has(first.stream) === false;
  return !horizon.isDone && isToGo && first.globalSeq <= horizon.horizonSeq;
}

/** Whether an event may be the next that is there of its stream: in sequence, or behind a loss. */
export function mayFollow({ losses }: Horizon, last: StreamHead, next: StoredEvent): boolean {
  if (next.revision === last.revision + 1) return next.previousHash === last.hash;
  return next.revision > last.revision && isLossBetween(losses, last.lastSeq, next.globalSeq);
}
