// The slow pass over everything stored: events, their chains, batch records, the index. It works
// through the log in steps and rests between them, so that it never gets in the way.
import { setTimeout as rest } from 'node:timers/promises';
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Damage, SeqRange } from '../../engine/ports.ts';
import type { StreamHeads } from './checkpoint-record.ts';
import { BatchCheck } from './batch-check.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { fetchBytes } from './database.ts';
import { decodeEvent } from './event-record.ts';
import { walk } from './event-slots.ts';
import type { Horizon } from './horizon.ts';
import { droppedThrough, mayBegin, mayFollow } from './horizon.ts';
import { eventKey, indexKey, parseKey } from './keys.ts';
import { isLossBetween } from './losses.ts';
import { unseal } from './sealed-value.ts';
import { streamsIn } from './stream-index.ts';

/** Rest between steps unless asked otherwise: the pass takes long and is not felt. */
const restMsDefault = 5;

type Found = SeqRange & { readonly reason: string };

/** Names events whose index entry is missing or points elsewhere. */
export async function checkIndex(
  database: Database,
  events: readonly StoredEvent[],
  snapshot: DatabaseSnapshot,
): Promise<Found[]> {
  const reason = 'the index entry is missing or altered';
  const keys = events.map(({ stream, revision }) => indexKey(stream, revision));
  let values: (string | undefined)[] = [];
  try {
    values = await database.getMany(keys, { snapshot, fillCache: false });
  } catch {
    // LevelDB found a block unreadable: each entry is asked for by itself.
    values = keys.map((key) => {
      try {
        return database.getSync(key, { snapshot });
      } catch {
        return undefined;
      }
    });
  }
  return events.flatMap(({ globalSeq }, index) =>
    unseal(keys[index] ?? '', values[index]) === String(globalSeq)
      ? []
      : [{ fromSeq: globalSeq, toSeq: globalSeq, reason }],
  );
}

/**
 * Checks what compaction kept at or below the horizon: each stream from its beginning up to there.
 */
async function* checkKept(
  database: Database,
  horizon: Horizon,
  snapshot: DatabaseSnapshot,
): AsyncGenerator<Found | undefined> {
  const lte = eventKey(horizon.horizonSeq);
  const heads: StreamHeads = new Map();
  const iterator = database.iterator({ gt: 'e!', lte, snapshot, highWaterMarkBytes: fetchBytes });
  const whole = { fromSeq: 1, toSeq: horizon.horizonSeq };
  try {
    for (;;) {
      const entries = await iterator.nextv(256);
      if (entries.length === 0) {
        break;
      }
      for (const [key, value] of entries) {
        const seq = parseKey(key)?.kind === 'event' ? Number(key.slice(2)) : 0;
        const event = decodeEvent(seq, value);
        if (event === undefined) {
          yield { fromSeq: seq, toSeq: seq, reason: 'altered: checksum or hash does not hold' };
          continue;
        }
        const head = heads.get(event.stream);
        const { globalSeq, stream, revision, hash } = event;
        if (head === undefined ? !mayBegin(horizon, event) : !mayFollow(horizon, head, event)) {
          yield { fromSeq: seq, toSeq: seq, reason: 'does not continue its stream' };
        }
        heads.set(stream, { revision, lastSeq: globalSeq, hash });
      }
      yield undefined;
    }
  } catch {
    yield { ...whole, reason: 'a block of the database is unreadable' };
  } finally {
    await iterator.close();
  }
  for (const [stream, head] of horizon.record?.heads ?? []) {
    const isKept = droppedThrough(horizon, stream) < head.revision;
    const found = heads.get(stream);
    const isLost = isLossBetween(horizon.losses, found?.lastSeq ?? 0, head.lastSeq + 1);
    if (isKept && found?.hash !== head.hash && !isLost) {
      yield { fromSeq: head.lastSeq, toSeq: head.lastSeq, reason: 'missing from the database' };
    }
  }
}

async function* findings(
  database: Database,
  request: { readonly range: SeqRange; readonly horizon: Horizon },
  snapshot: DatabaseSnapshot,
): AsyncGenerator<Found | undefined> {
  const { horizon } = request;
  if (horizon.horizonSeq > 0) {
    yield* checkKept(database, horizon, snapshot);
  }
  const { horizonSeq, record, losses } = horizon;
  if (horizonSeq > losses.resumedAtSeq && record === undefined) {
    yield { fromSeq: 1, toSeq: horizonSeq, reason: 'the checkpoint at the horizon is lost' };
  }
  const range = { fromSeq: horizonSeq + 1, toSeq: request.range.toSeq };
  const heads: StreamHeads = new Map(horizon.record?.heads);
  const batches = new BatchCheck(database, range, snapshot);
  try {
    const walked = {
      ...range,
      snapshot,
      heads,
      headsAreComplete: horizonSeq === 0 || record !== undefined,
      losses,
    };
    for await (const piece of walk(database, walked)) {
      if (piece.kind === 'damage') {
        if (!piece.isLost) yield piece;
      } else {
        yield* await checkIndex(database, piece.events, snapshot);
      }
      yield* await batches.check(piece);
      yield undefined;
    }
  } finally {
    await batches.close();
  }
}

export async function* scrubLog(
  database: Database,
  request: {
    readonly range: SeqRange;
    readonly horizon: Horizon;
    readonly signal: AbortSignal;
    readonly restMs?: number;
  },
): AsyncGenerator<Damage> {
  const snapshot = database.snapshot();
  try {
    for await (const found of findings(database, request, snapshot)) {
      if (request.signal.aborted) {
        return;
      }
      if (found === undefined) {
        await rest(request.restMs ?? restMsDefault);
        continue;
      }
      const { fromSeq, toSeq, reason } = found;
      yield { fromSeq, toSeq, reason, streams: await streamsIn(database, { fromSeq, toSeq }) };
    }
  } finally {
    await snapshot.close();
  }
}
