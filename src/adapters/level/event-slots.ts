// Reading stretches of the log in order, checked. A walk yields pieces: events that hold, and
// damage for what does not. It never skips silently and never ends early: what LevelDB does not
// return or cannot read is damage at exactly those positions.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { SeqRange } from '../../engine/ports.ts';
import type { StreamHeads } from './checkpoint-record.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { fetchBytes } from './database.ts';
import { decodeEvent } from './event-record.ts';
import { eventKey } from './keys.ts';
import { lossAt, type Losses } from './losses.ts';

/** Events fetched and yielded at a time. */
export const slotsMax = 256;

/** One position: the event, or why it cannot be served. */
export type Slot = StoredEvent | 'missing' | 'altered';

function getSlot(database: Database, seq: number, snapshot: DatabaseSnapshot): Slot {
  try {
    const value = database.getSync(eventKey(seq), { snapshot });
    return value === undefined ? 'missing' : (decodeEvent(seq, value) ?? 'altered');
  } catch {
    // LevelDB found the block unreadable.
    return 'altered';
  }
}

/** The slots of at most `slotsMax` positions, in order, none left out. */
export async function readSlots(
  database: Database,
  range: SeqRange,
  snapshot: DatabaseSnapshot,
): Promise<Slot[]> {
  let values: string[] = [];
  try {
    values = await database
      .values({
        gte: eventKey(range.fromSeq),
        lte: eventKey(range.toSeq),
        snapshot,
        highWaterMarkBytes: fetchBytes,
        fillCache: false,
      })
      .all();
  } catch {
    // A block on the way is unreadable: each position is asked for by itself below.
  }
  const count = range.toSeq - range.fromSeq + 1;
  const isWhole = values.length === count;
  const slots: Slot[] = [];
  for (let index = 0; index < count; index += 1) {
    const seq = range.fromSeq + index;
    const event = isWhole ? decodeEvent(seq, values[index]) : undefined;
    slots.push(event ?? getSlot(database, seq, snapshot));
  }
  return slots;
}

export interface WalkOptions extends SeqRange {
  readonly snapshot: DatabaseSnapshot;
  /** The chains' ends before `fromSeq`, as far as known; the walk moves them on. */
  readonly heads: StreamHeads;
  /** Whether `heads` is complete, so that an unknown stream must begin with revision 1. */
  readonly headsAreComplete: boolean;
  /** What repairs could not save. */
  readonly losses: Losses;
}

export type Piece =
  { readonly kind: 'events'; readonly events: readonly StoredEvent[] } | DamagePiece;

export interface DamagePiece extends SeqRange {
  readonly kind: 'damage';
  readonly reason: string;
  /** Whether a repair has named it as lost: nothing can be done about it, nothing need be. */
  readonly isLost: boolean;
  /** Positions among them with an event that is sound by itself. */
  readonly unchainedSeqs: readonly number[];
}

/** Follows the streams' chains over a walk. */
class ChainCheck {
  readonly #heads: StreamHeads;
  readonly #headsAreComplete: boolean;
  #damageSeen = false;

  constructor(heads: StreamHeads, headsAreComplete: boolean) {
    this.#heads = heads;
    this.#headsAreComplete = headsAreComplete;
  }

  sawDamage(): void {
    this.#damageSeen = true;
  }

  /**
   * Whether the event continues its stream; what was lost in damage already met is not held against
   * it.
   */
  accepts(event: StoredEvent): boolean {
    const head = this.#heads.get(event.stream);
    const { revision, globalSeq, hash } = event;
    this.#heads.set(event.stream, { revision, lastSeq: globalSeq, hash });
    if (head === undefined) {
      return revision === 1 || !this.#headsAreComplete || this.#damageSeen;
    }
    if (revision === head.revision + 1) {
      return event.previousHash === head.hash;
    }
    return revision > head.revision && this.#damageSeen;
  }
}

export const damageReasons = {
  lost: 'lost, as an earlier repair found',
  missing: 'missing from the database',
  altered: 'altered: checksum or hash does not hold',
  chain: 'does not continue its stream',
} as const;

interface OpenDamage {
  readonly fromSeq: number;
  toSeq: number;
  readonly isLost: boolean;
  readonly reasons: Set<string>;
  readonly unchainedSeqs: number[];
}

export async function* walk(database: Database, options: WalkOptions): AsyncGenerator<Piece> {
  const chain = new ChainCheck(options.heads, options.headsAreComplete);
  let damage: OpenDamage | undefined;
  let events: StoredEvent[] = [];
  const problemOf = (slot: Slot, seq: number): keyof typeof damageReasons | undefined => {
    if (typeof slot !== 'string') return chain.accepts(slot) ? undefined : 'chain';
    const isLost = slot === 'missing' && lossAt(options.losses, seq) !== undefined;
    return isLost ? 'lost' : slot;
  };
  const damagePiece = (): Piece | undefined => {
    const found = damage;
    damage = undefined;
    if (found === undefined) return undefined;
    const { reasons: given, ...range } = found;
    return { ...range, kind: 'damage', reason: [...given].join(', ') };
  };
  for (let fromSeq = options.fromSeq; fromSeq <= options.toSeq; fromSeq += slotsMax) {
    const toSeq = Math.min(fromSeq + slotsMax - 1, options.toSeq);
    const slots = await readSlots(database, { fromSeq, toSeq }, options.snapshot);
    for (const [index, slot] of slots.entries()) {
      const seq = fromSeq + index;
      const problem = problemOf(slot, seq);
      if (problem === undefined) {
        const piece = damagePiece();
        if (piece !== undefined) {
          yield piece;
        }
        events.push(slot as StoredEvent);
        continue;
      }
      chain.sawDamage();
      if (events.length > 0) {
        yield { kind: 'events', events };
        events = [];
      }
      const isLost = problem === 'lost';
      if (damage !== undefined && damage.isLost !== isLost) {
        const piece = damagePiece();
        if (piece !== undefined) yield piece;
      }
      damage ??= { fromSeq: seq, toSeq: seq, isLost, reasons: new Set(), unchainedSeqs: [] };
      damage.toSeq = seq;
      if (problem === 'chain') damage.unchainedSeqs.push(seq);
      damage.reasons.add(damageReasons[problem]);
    }
    if (events.length > 0) {
      yield { kind: 'events', events };
      events = [];
    }
  }
  const last = damagePiece();
  if (last !== undefined) {
    yield last;
  }
}
