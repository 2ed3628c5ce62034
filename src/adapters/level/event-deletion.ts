// Deletes the events at or below the horizon that compaction drops, and their index entries, in
// small batches. What cannot be read is passed over: it is left for the scrub to name and for
// repair.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { CrashPoint, SeqRange } from '../../engine/ports.ts';
import { turn } from './checkpoint-table.ts';
import type { Database, DatabaseSnapshot, Operation } from './database.ts';
import { fetchBytes, writeBatch } from './database.ts';
import { decodeEvent } from './event-record.ts';
import { readSlots } from './event-slots.ts';
import { eventKey, indexKey, parseKey } from './keys.ts';

/** Events looked at in one step, so that appends never wait long. */
const stepEventsMax = 256;

export interface Deletion {
  readonly database: Database;
  /** The horizon. */
  readonly throughSeq: number;
  /** Streams that stay. */
  readonly liveStreams: ReadonlySet<string>;
  readonly crashPoint: CrashPoint;
}

/** Some of the events in a range, from its beginning, and the first position not looked at. */
interface Step {
  readonly events: readonly StoredEvent[];
  readonly nextSeq: number;
}

async function stepInto(
  database: Database,
  range: SeqRange,
  snapshot: DatabaseSnapshot,
): Promise<Step> {
  const options = { gte: eventKey(range.fromSeq), lte: eventKey(range.toSeq), snapshot };
  const limit = stepEventsMax;
  const cost = { limit, highWaterMarkBytes: fetchBytes, fillCache: false };
  const entries = await database
    .iterator({ ...options, ...cost })
    .all()
    .catch(() => undefined);
  const lastSeq = seqOf(entries?.at(-1)?.[0] ?? '');
  if (entries !== undefined && entries.length < limit) {
    return { events: entries.flatMap(readable), nextSeq: range.toSeq + 1 };
  }
  return entries !== undefined && lastSeq !== undefined
    ? { events: entries.flatMap(readable), nextSeq: lastSeq + 1 }
    : await stepByPosition(database, range, snapshot);
}

function seqOf(key: string): number | undefined {
  const parsed = parseKey(key);
  return parsed?.kind === 'event' ? parsed.seq : undefined;
}

function readable([key, value]: readonly [string, string]): readonly StoredEvent[] {
  const event = decodeEvent(seqOf(key) ?? 0, value);
  return event === undefined ? [] : [event];
}

/** The same around a block that LevelDB cannot read: each position is asked for by itself. */
async function stepByPosition(
  database: Database,
  { fromSeq, toSeq }: SeqRange,
  snapshot: DatabaseSnapshot,
): Promise<Step> {
  const nextSeq = Math.min(fromSeq + stepEventsMax, toSeq + 1);
  const slots = await readSlots(database, { fromSeq, toSeq: nextSeq - 1 }, snapshot);
  return { events: slots.filter((slot) => typeof slot !== 'string'), nextSeq };
}

/** Answers how many events were deleted. */
export async function deleteEvents(request: Deletion): Promise<number> {
  const { database, throughSeq: toSeq, liveStreams, crashPoint } = request;
  const snapshot = database.snapshot();
  let deletedCount = 0;
  try {
    for (let fromSeq = 1; fromSeq <= toSeq;) {
      const { events, nextSeq } = await stepInto(database, { fromSeq, toSeq }, snapshot);
      const dropped = events.filter(({ stream }) => !liveStreams.has(stream));
      if (dropped.length > 0) {
        const operations = dropped.flatMap((event): Operation[] => [
          { type: 'del', key: eventKey(event.globalSeq) },
          { type: 'del', key: indexKey(event.stream, event.revision) },
        ]);
        await writeBatch(database, operations, { sync: false });
        crashPoint('compact:step');
        deletedCount += dropped.length;
      }
      fromSeq = nextSeq;
      await turn();
    }
  } finally {
    await snapshot.close();
  }
  return deletedCount;
}
