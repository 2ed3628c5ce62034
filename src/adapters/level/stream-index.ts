// Reading one stream by its index. The index is only a way to find events: whenever it does not
// prove the stream whole (begins where it may, no revision left out, ends where the stream ends),
// the log itself is searched, and what cannot be found there either is damage. A history is never
// served shortened.
import type { StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Damage, SeqRange } from '../../engine/ports.ts';
import { LogDamaged } from '../../engine/ports.ts';
import type { StreamHead, StreamHeads } from './checkpoint-record.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { fetchBytes } from './database.ts';
import { decodeEvent } from './event-record.ts';
import type { Piece } from './event-slots.ts';
import { damageReasons, slotsMax, walk } from './event-slots.ts';
import type { Horizon } from './horizon.ts';
import { droppedThrough, mayBegin, mayFollow } from './horizon.ts';
import { eventKey, indexKey, parseKey, streamPrefix } from './keys.ts';
import { isLossBetween, type Losses } from './losses.ts';
import { unseal } from './sealed-value.ts';

interface IndexEntry {
  readonly revision: number;
  readonly globalSeq: number;
}

export interface StreamRead {
  readonly stream: string;
  readonly range: SeqRange;
  /** All of the log, as of the snapshot. */
  readonly whole: SeqRange;
  /** The stream's end, when it is known from the checkpoint and the tail. */
  readonly head: StreamHead | undefined;
  readonly horizon: Horizon;
  readonly snapshot: DatabaseSnapshot;
}

function parseEntry(key: string, value: string): IndexEntry | undefined {
  const parsed = parseKey(key);
  const payload = unseal(key, value);
  return parsed?.kind === 'index' && payload !== undefined
    ? { revision: parsed.revision, globalSeq: Number(payload) }
    : undefined;
}

/** The index's entries; undefined when one of them cannot be read. */
async function indexEntries(
  database: Database,
  request: StreamRead,
): Promise<IndexEntry[] | undefined> {
  const prefix = streamPrefix(request.stream);
  const entries: IndexEntry[] = [];
  try {
    const { snapshot } = request;
    const range = { gt: prefix, lt: prefix + ':', snapshot, highWaterMarkBytes: fetchBytes };
    for (const [key, value] of await database.iterator(range).all()) {
      const entry = parseEntry(key, value);
      if (entry === undefined) {
        return undefined;
      }
      entries.push(entry);
    }
  } catch {
    // LevelDB found a block unreadable: the log itself is searched instead.
    return undefined;
  }
  return entries;
}

async function fetchEvents(
  database: Database,
  entries: readonly IndexEntry[],
  snapshot: DatabaseSnapshot,
): Promise<StoredEvent[] | undefined> {
  try {
    const keys = entries.map((entry) => eventKey(entry.globalSeq));
    const values = await database.getMany(keys, { snapshot, fillCache: false });
    const events = values.map((value, index) => decodeEvent(entries[index]?.globalSeq ?? 0, value));
    return events.every((event) => event !== undefined) ? events : undefined;
  } catch {
    // LevelDB found a block unreadable: the walk names the positions.
    return undefined;
  }
}

/** Checks that events of one stream follow one another. */
class StreamCheck {
  readonly #request: StreamRead;
  #last: StoredEvent | undefined;

  constructor(request: StreamRead) {
    this.#request = request;
  }

  get last(): StoredEvent | undefined {
    return this.#last;
  }

  accepts(event: StoredEvent): boolean {
    const last = this.#last;
    this.#last = event;
    const { horizon, stream } = this.#request;
    return (
      event.stream === stream &&
      (last === undefined
        ? mayBegin(horizon, event)
        : mayFollow(horizon, { ...last, lastSeq: last.globalSeq }, event))
    );
  }

  /**
   * Whether the last event is the stream's end; undefined when only the rest of the log can tell.
   */
  isAtEnd(): boolean | undefined {
    const { head, horizon, stream } = this.#request;
    if (head === undefined) {
      return undefined;
    }
    const revision = this.#last?.revision ?? droppedThrough(horizon, stream);
    const lastSeq = this.#last?.globalSeq ?? 0;
    return revision >= head.revision || isLossBetween(horizon.losses, lastSeq, head.lastSeq + 1);
  }
}

function within(events: readonly StoredEvent[], range: SeqRange): StoredEvent[] {
  return events.filter(({ globalSeq }) => globalSeq >= range.fromSeq && globalSeq <= range.toSeq);
}

type Pieces = AsyncGenerator<Piece>;

function walkAll(database: Database, request: StreamRead, range: SeqRange): Pieces {
  const heads: StreamHeads = new Map();
  const { snapshot, horizon } = request;
  const { losses } = horizon;
  return walk(database, { ...range, snapshot, heads, headsAreComplete: false, losses });
}

/**
 * Whether one of the damaged positions may be the stream's; those below the horizon are absent by
 * right.
 */
async function mayHold(
  database: Database,
  request: StreamRead,
  damages: readonly SeqRange[],
): Promise<boolean> {
  const ranges = damages
    .map(({ fromSeq, toSeq }) => ({
      fromSeq: Math.max(fromSeq, request.horizon.horizonSeq + 1),
      toSeq,
    }))
    .filter(({ fromSeq, toSeq }) => fromSeq <= toSeq);
  const count = ranges.reduce((sum, { fromSeq, toSeq }) => sum + toSeq - fromSeq + 1, 0);
  const owners = await ownersIn(database, ranges);
  return owners.size < count || [...owners.values()].includes(request.stream);
}

/**
 * Searches the log for the stream from `fromSeq` on. Damage met on the way counts only when the
 * stream is not whole without it: it may well have hit others alone.
 */
async function searchLog(
  database: Database,
  request: StreamRead,
  check: StreamCheck,
  fromSeq: number,
): Promise<StoredEvent[]> {
  const { stream, whole } = request;
  const found: StoredEvent[] = [];
  const damages: (SeqRange & { reason: string })[] = [];
  let isWhole = true;
  const range = { fromSeq, toSeq: whole.toSeq };
  for await (const piece of walkAll(database, request, range)) {
    if (piece.kind === 'damage') {
      if (!piece.isLost) damages.push(piece);
      continue;
    }
    for (const event of piece.events) {
      if (event.stream === stream) {
        isWhole = check.accepts(event) && isWhole;
        found.push(event);
      }
    }
  }
  const isAtEnd = check.isAtEnd() ?? !(await mayHold(database, request, damages));
  if (!isWhole || !isAtEnd) {
    const [first] = damages;
    const last = damages.at(-1);
    throw new LogDamaged({
      fromSeq: first?.fromSeq ?? fromSeq,
      toSeq: last?.toSeq ?? whole.toSeq,
      reason: first?.reason ?? 'the stream is not whole',
      streams: [stream],
    });
  }
  return found;
}

export async function* readStream(
  database: Database,
  request: StreamRead,
): AsyncGenerator<readonly StoredEvent[]> {
  const { range, snapshot, whole } = request;
  const entries = await indexEntries(database, request);
  let check = new StreamCheck(request);
  const served: StoredEvent[] = [];
  let isProven = entries !== undefined;
  for (let start = 0; isProven && start < (entries?.length ?? 0); start += slotsMax) {
    const part = entries?.slice(start, start + slotsMax) ?? [];
    const events = await fetchEvents(database, part, snapshot);
    isProven = events?.every((event) => check.accepts(event)) ?? false;
    served.push(...(events ?? []));
  }
  let events = served;
  if (!isProven || check.isAtEnd() === false) {
    check = new StreamCheck(request);
    events = await searchLog(database, request, check, whole.fromSeq);
  } else if (check.isAtEnd() === undefined) {
    const fromSeq = Math.max((check.last?.globalSeq ?? 0) + 1, request.horizon.horizonSeq + 1);
    events = served.concat(await searchLog(database, request, check, fromSeq));
  }
  for (const part of splitAtGaps(events, request)) {
    if (part.kind === 'lost') throw new LogDamaged(part.damage);
    const wanted = within(part.events, range);
    for (let start = 0; start < wanted.length; start += slotsMax) {
      yield wanted.slice(start, start + slotsMax);
    }
  }
}

type StreamPart =
  | { readonly kind: 'events'; readonly events: readonly StoredEvent[] }
  | { readonly kind: 'lost'; readonly damage: Damage };

/** The events in unbroken parts, and between them what is lost, as far as the read asks for it. */
function* splitAtGaps(
  events: readonly StoredEvent[],
  { stream, range, horizon }: StreamRead,
): Generator<StreamPart> {
  let last = { revision: droppedThrough(horizon, stream), globalSeq: 0 };
  let part: StoredEvent[] = [];
  for (const event of events) {
    if (event.revision > last.revision + 1) {
      yield { kind: 'events', events: part };
      part = [];
      const loss = lossBetween(horizon.losses, last.globalSeq, event.globalSeq);
      if (loss.toSeq >= range.fromSeq && loss.fromSeq <= range.toSeq) {
        const { lost: reason } = damageReasons;
        yield { kind: 'lost', damage: { ...loss, reason, streams: [stream], isLost: true } };
      }
    }
    part.push(event);
    last = event;
  }
  yield { kind: 'events', events: part };
}

/** From the first lost position between two events to the last. */
function lossBetween({ ranges }: Losses, afterSeq: number, beforeSeq: number): SeqRange {
  const between = ranges.filter(({ fromSeq, toSeq }) => fromSeq < beforeSeq && toSeq > afterSeq);
  return {
    fromSeq: Math.max(between[0]?.fromSeq ?? 1, afterSeq + 1),
    toSeq: Math.min(between.at(-1)?.toSeq ?? beforeSeq, beforeSeq - 1),
  };
}

/** The head of a stream at a revision, by its index; undefined when it cannot be proven. */
export async function headFromIndex(
  database: Database,
  stream: string,
  revision: number,
): Promise<StreamHead | undefined> {
  try {
    const key = indexKey(stream, revision);
    const lastSeq = Number(unseal(key, await database.get(key)));
    const event = decodeEvent(lastSeq, await database.get(eventKey(lastSeq)));
    return event?.stream === stream && event.revision === revision
      ? { revision, lastSeq, hash: event.hash }
      : undefined;
  } catch {
    // LevelDB found the block unreadable.
    return undefined;
  }
}

/** The positions of some revisions of a stream, as far as its index can be read. */
export async function positionsOf(
  database: Database,
  stream: string,
  revisions: { readonly from: number; readonly to: number },
): Promise<number[]> {
  const seqs: number[] = [];
  for (let revision = revisions.from; revision <= revisions.to; revision += 1) {
    const key = indexKey(stream, revision);
    const value = await database.get(key).catch(() => undefined);
    const seq = unseal(key, value);
    if (seq !== undefined) seqs.push(Number(seq));
  }
  return seqs;
}

/** All entries of the index, as far as it can be read. For damage only: slow. */
async function* wholeIndex(
  database: Database,
): AsyncGenerator<{ readonly stream: string; readonly globalSeq: number }> {
  const iterator = database.iterator({ gt: 's!', lt: 's"', highWaterMarkBytes: fetchBytes });
  try {
    for (;;) {
      const entries = await iterator.nextv(1000);
      if (entries.length === 0) {
        break;
      }
      for (const [key, value] of entries) {
        const parsed = parseKey(key);
        const globalSeq = Number(unseal(key, value));
        if (parsed?.kind === 'index') yield { stream: parsed.stream, globalSeq };
      }
    }
  } catch {
    // What the index does not tell stays untold: the range itself is named.
  } finally {
    await iterator.close();
  }
}

/** The place of the last range that begins at or before a position; -1 if none does. */
function placeOf(ranges: readonly SeqRange[], seq: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as SeqRange).fromSeq <= seq) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Whose the positions of sorted, separate ranges are, as far as the index still tells. */
async function ownersIn(
  database: Database,
  ranges: readonly SeqRange[],
): Promise<Map<number, string>> {
  const owners = new Map<number, string>();
  if (ranges.length === 0) return owners;
  for await (const { stream, globalSeq } of wholeIndex(database)) {
    const range = ranges[placeOf(ranges, globalSeq)];
    if (range !== undefined && globalSeq <= range.toSeq) owners.set(globalSeq, stream);
  }
  return owners;
}

/** Streams that are named for one range at most: a range may span the whole log. */
const streamsMax = 100;

/** The streams of each range, with one pass over the index. The ranges are sorted by `fromSeq`. */
export async function streamsInEach(
  database: Database,
  ranges: readonly SeqRange[],
): Promise<string[][]> {
  const streams = ranges.map(() => new Set<string>());
  for await (const { stream, globalSeq } of wholeIndex(database)) {
    for (let place = placeOf(ranges, globalSeq); place >= 0; place -= 1) {
      if ((ranges[place] as SeqRange).toSeq >= globalSeq) streams[place]?.add(stream);
    }
  }
  return streams.map((each) => [...each].sort().slice(0, streamsMax));
}

export async function streamsIn(database: Database, range: SeqRange): Promise<string[]> {
  return (await streamsInEach(database, [range]))[0] ?? [];
}
