// The events that compaction kept at or below the horizon: those of streams that lived on. Their
// positions have gaps by right, so each stream is followed by itself.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { SeqRange } from '../../engine/ports.ts';
import type { StreamHead } from './checkpoint-record.ts';
import type { Database } from './database.ts';
import { fetchBytes } from './database.ts';
import { decodeEvent } from './event-record.ts';
import { droppedThrough, type Horizon } from './horizon.ts';
import { eventKey, indexKey, parseKey } from './keys.ts';
import { unseal } from './sealed-value.ts';

/** All sound events in a range of positions, in order; what is missing or altered is left out. */
export async function* soundEvents(
  database: Database,
  range: SeqRange,
): AsyncGenerator<StoredEvent> {
  const gte = eventKey(range.fromSeq);
  const lte = eventKey(range.toSeq);
  const iterator = database.iterator({ gte, lte, highWaterMarkBytes: fetchBytes });
  for await (const [key, value] of iterator) {
    const parsed = parseKey(key);
    const event = parsed?.kind === 'event' ? decodeEvent(parsed.seq, value) : undefined;
    if (event !== undefined) yield event;
  }
}

export interface KeptSurvey {
  /** Where events that were to be kept are missing: at most these positions. */
  readonly lost: readonly SeqRange[];
  /** Events that are sound by themselves but were dropped by right, or belong nowhere. */
  readonly surplusSeqs: readonly number[];
}

/** Looks at all that is there at or below the horizon, in a database without unreadable blocks. */
export async function surveyKept(database: Database, horizon: Horizon): Promise<KeptSurvey> {
  const lost: SeqRange[] = [];
  const surplusSeqs: number[] = [];
  const heads = new Map<string, StreamHead>();
  const lose = async (stream: string, gap: Gap): Promise<void> => {
    lost.push(...(await lostWithin(database, stream, gap)));
  };
  for await (const event of soundEvents(database, { fromSeq: 1, toSeq: horizon.horizonSeq })) {
    const { stream, revision, globalSeq, hash, previousHash } = event;
    const droppedRevision = droppedThrough(horizon, stream);
    const hasEnded = horizon.record !== undefined && !horizon.record.heads.has(stream);
    const head = heads.get(stream);
    const lastRevision = head?.revision ?? droppedRevision;
    const isNext = revision === lastRevision + 1;
    const isBroken = isNext && head !== undefined && head.hash !== previousHash;
    if (hasEnded || revision <= lastRevision || isBroken) {
      surplusSeqs.push(globalSeq);
      continue;
    }
    const from = { afterSeq: head?.lastSeq ?? 0, afterRevision: lastRevision };
    if (!isNext) await lose(stream, { ...from, beforeSeq: globalSeq, beforeRevision: revision });
    heads.set(stream, { revision, lastSeq: globalSeq, hash });
  }
  for (const [stream, end] of horizon.record?.heads ?? []) {
    const head = heads.get(stream);
    const lastRevision = head?.revision ?? droppedThrough(horizon, stream);
    if (lastRevision >= end.revision) continue;
    const beforeSeq = end.lastSeq + 1;
    const from = { afterSeq: head?.lastSeq ?? 0, afterRevision: lastRevision };
    await lose(stream, { ...from, beforeSeq, beforeRevision: end.revision + 1 });
  }
  return { lost, surplusSeqs };
}

/** A hole in one stream, both ends outside of it. */
interface Gap {
  readonly afterSeq: number;
  readonly afterRevision: number;
  readonly beforeSeq: number;
  readonly beforeRevision: number;
}

// The index may still know where the missing events were; else they were somewhere between.
async function lostWithin(database: Database, stream: string, gap: Gap): Promise<SeqRange[]> {
  const { afterSeq, afterRevision, beforeSeq, beforeRevision } = gap;
  const found: SeqRange[] = [];
  for (let revision = afterRevision + 1; revision < beforeRevision; revision += 1) {
    const key = indexKey(stream, revision);
    const seq = Number(unseal(key, await database.get(key)));
    if (!(seq > afterSeq && seq < beforeSeq)) {
      return [{ fromSeq: afterSeq + 1, toSeq: beforeSeq - 1 }];
    }
    found.push({ fromSeq: seq, toSeq: seq });
  }
  return found;
}
