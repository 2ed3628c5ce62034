// The pass over everything stored: events, their chains, batch records, the index. It works through
// the log in steps and rests between them, so that it never gets in the way.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Damage, ScrubPace, SeqRange } from '../../engine/ports.ts';
import type { StreamHeads } from './checkpoint-record.ts';
import { BatchCheck } from './batch-check.ts';
import { turn } from './checkpoint-table.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { walk } from './event-slots.ts';
import { Findings, type Found } from './findings.ts';
import type { Horizon } from './horizon.ts';
import { indexKey } from './keys.ts';
import { checkKept } from './kept-events.ts';
import { restUnless } from './rest.ts';
import { unseal } from './sealed-value.ts';

/**
 * Rest after each step, as a multiple of the time that it took: a fifth of one core at most, so
 * that calls hardly feel it; or none but the turns of other work.
 */
const restFactors: Readonly<Record<ScrubPace, number>> = { gentle: 4, full: 0 };

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

/** What is found, step by step; a step in which nothing was found is an empty array. */
async function* steps(
  database: Database,
  request: { readonly range: SeqRange; readonly horizon: Horizon },
  snapshot: DatabaseSnapshot,
): AsyncGenerator<readonly Found[]> {
  const { horizonSeq, record, losses } = request.horizon;
  for await (const { found, events } of checkKept(database, request.horizon, snapshot)) {
    yield [...found, ...(await checkIndex(database, events, snapshot))];
  }
  if (horizonSeq > losses.resumedAtSeq && record === undefined) {
    yield [{ fromSeq: 1, toSeq: horizonSeq, reason: 'the checkpoint at the horizon is lost' }];
  }
  const range = { fromSeq: horizonSeq + 1, toSeq: request.range.toSeq };
  const heads: StreamHeads = new Map(record?.heads);
  const batches = new BatchCheck(database, range, snapshot);
  try {
    const headsAreComplete = horizonSeq === 0 || record !== undefined;
    const walked = { ...range, snapshot, heads, headsAreComplete, losses };
    for await (const piece of walk(database, walked)) {
      const found: readonly Found[] =
        piece.kind === 'events'
          ? await checkIndex(database, piece.events, snapshot)
          : piece.isLost
            ? []
            : [piece];
      yield [...found, ...(await batches.check(piece))];
    }
  } finally {
    await batches.close();
  }
}

export interface ScrubRequest {
  readonly range: SeqRange;
  readonly horizon: Horizon;
  readonly signal: AbortSignal;
  readonly pace?: ScrubPace;
}

/** Names what is damaged once the pass is over; nothing when it was broken off. */
export async function scrubLog(database: Database, request: ScrubRequest): Promise<Damage[]> {
  const { signal, pace = 'gentle' } = request;
  const findings = new Findings();
  const snapshot = database.snapshot();
  try {
    let beganMs = performance.now();
    for await (const found of steps(database, request, snapshot)) {
      if (signal.aborted) return [];
      findings.addAll(found);
      const restMs = (performance.now() - beganMs) * restFactors[pace];
      await (restMs < 1 ? turn() : restUnless(signal, restMs));
      beganMs = performance.now();
    }
  } finally {
    await snapshot.close();
  }
  return await findings.described(database);
}
