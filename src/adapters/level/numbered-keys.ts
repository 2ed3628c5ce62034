// Reading keys that are named by a position, in order, past what LevelDB cannot read. Its iterators
// step over an unreadable block and say so only at their end, so everything is read in windows,
// each to its end. A window that fails is taken again in smaller ones; the positions that the block
// may hold are asked for one by one, and reading goes on behind them.
import type { SeqRange } from '../../engine/ports.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import { fetchBytes } from './database.ts';
import { digits, parseKey } from './keys.ts';

/** Positions in one window: a few hundred kilobytes of events. */
const windowMax = 1_024;

export interface NumberedKeys {
  readonly database: Database;
  readonly prefix: 'e!' | 'b!';
  readonly range: SeqRange;
  readonly snapshot: DatabaseSnapshot;
}

export type Entry = readonly [key: string, value: string];

/** What stands at the next positions, or that some of them cannot be read. */
export type Stretch =
  | { readonly kind: 'entries'; readonly entries: readonly Entry[] }
  | (SeqRange & { readonly kind: 'unreadable' });

async function readWindow(
  { database, prefix, snapshot }: NumberedKeys,
  { fromSeq, toSeq }: SeqRange,
): Promise<Entry[] | undefined> {
  const bounds = { gte: prefix + digits(fromSeq), lt: prefix + digits(toSeq + 1) };
  const options = { snapshot, highWaterMarkBytes: fetchBytes, fillCache: false };
  try {
    return await database.iterator({ ...bounds, ...options }).all();
  } catch {
    // LevelDB found a block unreadable.
    return undefined;
  }
}

/** The first position behind the unreadable block into which `failedSeq` leads. */
async function firstReadable(keys: NumberedKeys, failedSeq: number): Promise<number> {
  const isReadable = async (seq: number): Promise<boolean> =>
    (await readWindow(keys, { fromSeq: seq, toSeq: seq })) !== undefined;
  let unreadable = failedSeq;
  let readable = keys.range.toSeq + 1;
  for (let distance = 1; unreadable + distance < readable; distance *= 2) {
    const seq = unreadable + distance;
    if (await isReadable(seq)) readable = seq;
    else unreadable = seq;
  }
  while (readable - unreadable > 1) {
    const middle = Math.floor((unreadable + readable) / 2);
    if (await isReadable(middle)) readable = middle;
    else unreadable = middle;
  }
  return readable;
}

/** Each position by itself: LevelDB knows of most that are absent without reading the block. */
async function* oneByOne(keys: NumberedKeys, range: SeqRange): AsyncGenerator<Stretch> {
  const { database, prefix, snapshot } = keys;
  let unreadable: SeqRange | undefined;
  for (let seq = range.fromSeq; seq <= range.toSeq; seq += 1) {
    const key = prefix + digits(seq);
    let value: string | undefined;
    try {
      value = await database.get(key, { snapshot });
    } catch {
      // LevelDB found the block unreadable.
      unreadable = { fromSeq: unreadable?.fromSeq ?? seq, toSeq: seq };
      continue;
    }
    if (unreadable !== undefined) {
      yield { kind: 'unreadable', ...unreadable };
      unreadable = undefined;
    }
    if (value !== undefined) yield { kind: 'entries', entries: [[key, value]] };
  }
  if (unreadable !== undefined) yield { kind: 'unreadable', ...unreadable };
}

/** All entries of a range in order, and between them the positions that cannot be read. */
export async function* readNumbered(keys: NumberedKeys): AsyncGenerator<Stretch> {
  const { range } = keys;
  let size = windowMax;
  for (let fromSeq = range.fromSeq; fromSeq <= range.toSeq;) {
    const toSeq = Math.min(fromSeq + size - 1, range.toSeq);
    const entries = await readWindow(keys, { fromSeq, toSeq });
    if (entries !== undefined) {
      yield { kind: 'entries', entries };
      fromSeq = toSeq + 1;
    } else if (size > 1) {
      size >>= 1;
    } else {
      const nextSeq = await firstReadable(keys, fromSeq);
      yield* oneByOne(keys, { fromSeq, toSeq: nextSeq - 1 });
      fromSeq = nextSeq;
      size = windowMax;
    }
  }
}

/**
 * The positions after which checkpoints are named, ascending. Keys in unreadable blocks are not
 * among them.
 */
export async function checkpointPositions(database: Database): Promise<number[]> {
  const seqs: number[] = [];
  for (let gte = 'c!'; ;) {
    let key: string | undefined;
    try {
      [key] = await database.keys({ gte, lt: 'c"', limit: 1 }).all();
    } catch {
      // Behind an unreadable block there is nothing more.
    }
    if (key === undefined) return seqs;
    const parsed = parseKey(key);
    const isOurs = parsed?.kind === 'checkpoint' || parsed?.kind === 'chunk';
    if (isOurs) seqs.push(parsed.seq);
    // Past its chunks, which are large.
    gte = isOurs ? 'c!' + digits(parsed.seq + 1) : key + '\0';
  }
}
