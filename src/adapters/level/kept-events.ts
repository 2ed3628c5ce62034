// What compaction kept at or below the horizon: each stream that lives on from its beginning, or
// from its last dropped revision, up to where the horizon's checkpoint knows it. Positions between
// are absent by right, so a loss shows only in the streams' revisions.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { SeqRange } from '../../engine/ports.ts';
import type { StreamHead, StreamHeads } from './checkpoint-record.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { decodeEvent } from './event-record.ts';
import type { Found } from './findings.ts';
import type { Horizon } from './horizon.ts';
import { droppedThrough, mayBegin, mayFollow } from './horizon.ts';
import { parseKey } from './keys.ts';
import { isLossBetween } from './losses.ts';
import { readNumbered, type Entry } from './numbered-keys.ts';
import { positionsOf } from './stream-index.ts';

const reasons = {
  unreadable: 'in an unreadable block',
  altered: 'altered: checksum or hash does not hold',
  missing: 'missing from the database',
  chain: 'does not continue its stream',
} as const;

export interface KeptStep {
  readonly found: readonly Found[];
  /** The events that hold. */
  readonly events: readonly StoredEvent[];
}

const at = (seq: number): SeqRange => ({ fromSeq: seq, toSeq: seq });

class KeptCheck {
  readonly #database: Database;
  readonly #horizon: Horizon;
  readonly #heads: StreamHeads = new Map();
  /** Positions whose events are unknown. */
  readonly #unknown: SeqRange[] = [];

  constructor(database: Database, horizon: Horizon) {
    this.#database = database;
    this.#horizon = horizon;
  }

  unknown({ fromSeq, toSeq }: SeqRange, reason: string): Found {
    this.#unknown.push({ fromSeq, toSeq });
    return { fromSeq, toSeq, reason };
  }

  /** Whether an event that is unknown may be one of a stream's between two positions. */
  #isExplained(afterSeq: number, beforeSeq: number): boolean {
    return this.#unknown.some(({ fromSeq, toSeq }) => toSeq > afterSeq && fromSeq < beforeSeq);
  }

  async take(entries: readonly Entry[]): Promise<KeptStep> {
    const found: Found[] = [];
    const events: StoredEvent[] = [];
    for (const [key, value] of entries) {
      const parsed = parseKey(key);
      if (parsed?.kind !== 'event') continue;
      const event = decodeEvent(parsed.seq, value);
      if (event === undefined) {
        found.push(this.unknown(at(parsed.seq), reasons.altered));
        continue;
      }
      events.push(event);
      found.push(...(await this.#follow(event)));
    }
    return { found, events };
  }

  async #follow(event: StoredEvent): Promise<Found[]> {
    const { globalSeq, stream, revision, hash } = event;
    const head = this.#heads.get(stream);
    this.#heads.set(stream, { revision, lastSeq: globalSeq, hash });
    const follows =
      head === undefined ? mayBegin(this.#horizon, event) : mayFollow(this.#horizon, head, event);
    if (follows) return [];
    const knownRevision = head?.revision ?? droppedThrough(this.#horizon, stream);
    if (revision <= knownRevision + 1) {
      return [{ ...at(globalSeq), reason: reasons.chain }];
    }
    return await this.#missing(stream, head, { ...event, lastSeq: globalSeq });
  }

  /** The positions of a stream between two of its events, as its index knows them. */
  async #missing(stream: string, head: StreamHead | undefined, next: StreamHead): Promise<Found[]> {
    if (this.#isExplained(head?.lastSeq ?? 0, next.lastSeq)) return [];
    const from = (head?.revision ?? droppedThrough(this.#horizon, stream)) + 1;
    const seqs = await positionsOf(this.#database, stream, { from, to: next.revision - 1 });
    return seqs.length === 0
      ? [{ ...at(next.lastSeq), reason: reasons.chain }]
      : seqs.map((seq) => ({ ...at(seq), reason: reasons.missing }));
  }

  /** What is wrong with the ends of the streams. */
  async end(): Promise<Found[]> {
    const found: Found[] = [];
    for (const [stream, known] of this.#horizon.record?.heads ?? []) {
      const isKept = droppedThrough(this.#horizon, stream) < known.revision;
      const head = this.#heads.get(stream);
      if (!isKept || head?.hash === known.hash) continue;
      const from = head?.lastSeq ?? 0;
      const to = known.lastSeq + 1;
      if (this.#isExplained(from, to) || isLossBetween(this.#horizon.losses, from, to)) continue;
      found.push({ ...at(known.lastSeq), reason: reasons.missing });
    }
    return found;
  }
}

/** Checks the kept events step by step. */
export async function* checkKept(
  database: Database,
  horizon: Horizon,
  snapshot: DatabaseSnapshot,
): AsyncGenerator<KeptStep> {
  if (horizon.horizonSeq === 0) return;
  const check = new KeptCheck(database, horizon);
  const range = { fromSeq: 1, toSeq: horizon.horizonSeq };
  for await (const stretch of readNumbered({ database, prefix: 'e!', range, snapshot })) {
    if (stretch.kind === 'unreadable') {
      yield { found: [check.unknown(stretch, reasons.unreadable)], events: [] };
    } else {
      yield await check.take(stretch.entries);
    }
  }
  yield { found: await check.end(), events: [] };
}
