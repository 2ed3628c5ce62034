// The horizon: history at or below it was compacted away, but for streams that live on. It names the
// streams that its checkpoint knows and that were dropped all the same, so that a stream whose beginning
// is missing can be told from one that was compacted.
import type { CheckpointRecord } from './checkpoint-record.ts';
import { loadCheckpoint } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { horizonKey } from './keys.ts';
import { seal, unsealJson } from './sealed-value.ts';

export interface StoredHorizon {
  readonly horizonSeq: number;
  /** Whether all deletions are done; a crash in between leaves some events that nobody may miss. */
  readonly isDone: boolean;
  readonly droppedStreams: readonly string[];
}

export interface Horizon extends StoredHorizon {
  /** The state at the horizon; undefined before any compaction, or when it is lost. */
  readonly record: CheckpointRecord | undefined;
}

export const noHorizon: Horizon = {
  horizonSeq: 0,
  isDone: true,
  droppedStreams: [],
  record: undefined,
};

export function encodeHorizon(horizon: StoredHorizon): string {
  const { horizonSeq, isDone, droppedStreams } = horizon;
  return seal(horizonKey, JSON.stringify({ horizonSeq, isDone, droppedStreams }));
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
  if (value === undefined) {
    return noHorizon;
  }
  const stored = unsealJson(horizonKey, value) as StoredHorizon | undefined;
  return stored === undefined
    ? 'damaged'
    : { ...stored, record: await loadCheckpoint(database, stored.horizonSeq) };
}

/** Whether a stream may begin at this revision and position, given what was compacted. */
export function mayBegin(
  horizon: Horizon,
  first: { readonly stream: string; readonly revision: number; readonly globalSeq: number },
): boolean {
  if (first.revision === 1) {
    return true;
  }
  const atHorizon = horizon.record?.heads.get(first.stream)?.revision;
  const isDropped = horizon.droppedStreams.includes(first.stream);
  if (first.globalSeq > horizon.horizonSeq) {
    return isDropped && atHorizon === first.revision - 1;
  }
  return !horizon.isDone && (isDropped || atHorizon === undefined);
}
