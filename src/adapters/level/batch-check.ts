// Follows the chain of batch records beside a walk over the events: proves that the events of each
// batch are those that were appended together, and that no batch is left out or put in.
import type { SeqRange } from '../../engine/ports.ts';
import type { Database, DatabaseSnapshot } from './database.ts';
import type { BatchRecord } from './event-record.ts';
import { decodeBatch, digest } from './event-record.ts';
import type { Piece } from './event-slots.ts';
import { parseKey } from './keys.ts';
import { readNumbered } from './numbered-keys.ts';

export type BatchDamage = SeqRange & { readonly reason: string };

/** The readable batch records that reach into a range, in order. */
async function* records(
  database: Database,
  range: SeqRange,
  snapshot: DatabaseSnapshot,
): AsyncGenerator<BatchRecord> {
  // One before: the batch that the first one follows.
  const from = { fromSeq: Math.max(range.fromSeq - 1, 0), toSeq: range.toSeq };
  for await (const stretch of readNumbered({ database, prefix: 'b!', range: from, snapshot })) {
    // Records that cannot be read are named by the gap that they leave.
    if (stretch.kind === 'unreadable') continue;
    for (const [key, value] of stretch.entries) {
      const parsed = parseKey(key);
      const record = parsed?.kind === 'batch' ? decodeBatch(parsed.seq, value) : undefined;
      if (record !== undefined) yield record;
    }
  }
}

export class BatchCheck {
  readonly #records: AsyncGenerator<BatchRecord>;
  readonly #fromSeq: number;
  #record: BatchRecord | undefined;
  #previous: BatchRecord | undefined;
  /** Hashes of the current record's events so far; undefined once one of them is damaged. */
  #hashes: string[] | undefined = [];
  #isStarted = false;

  constructor(database: Database, range: SeqRange, snapshot: DatabaseSnapshot) {
    this.#fromSeq = range.fromSeq;
    this.#records = records(database, range, snapshot);
  }

  /** The newest record read: at the end of the walk, where the chain goes on. */
  get last(): BatchRecord | undefined {
    return this.#previous;
  }

  async #advance(): Promise<void> {
    const next = await this.#records.next();
    this.#record = next.done === true ? undefined : next.value;
    this.#hashes = [];
  }

  /**
   * Takes the next piece of the walk; returns what is wrong with the records of the batches in it.
   */
  async check(piece: Piece): Promise<BatchDamage[]> {
    const found: BatchDamage[] = [];
    if (!this.#isStarted) {
      this.#isStarted = true;
      await this.#advance();
    }
    if (piece.kind === 'damage') {
      while (this.#record !== undefined && this.#record.lastSeq <= piece.toSeq) {
        this.#previous = this.#record;
        await this.#advance();
      }
      this.#hashes = undefined;
      return found;
    }
    for (const { globalSeq, hash } of piece.events) {
      while (this.#record !== undefined && this.#record.lastSeq < globalSeq) {
        this.#previous = this.#record;
        await this.#advance();
      }
      const record = this.#record;
      if (record === undefined || globalSeq < record.firstSeq) {
        const last = found.at(-1);
        const fromSeq = last?.toSeq === globalSeq - 1 ? (found.pop(), last.fromSeq) : globalSeq;
        found.push({ fromSeq, toSeq: globalSeq, reason: 'the record of the batch is missing' });
        continue;
      }
      this.#hashes?.push(hash);
      if (globalSeq === record.lastSeq) {
        const reason = this.#problem(record);
        if (reason !== undefined) {
          found.push({ fromSeq: record.firstSeq, toSeq: record.lastSeq, reason });
        }
        this.#previous = record;
        await this.#advance();
      }
    }
    return found;
  }

  #problem(record: BatchRecord): string | undefined {
    const isWhole = record.firstSeq >= this.#fromSeq && this.#hashes !== undefined;
    if (isWhole && digest(record.previousHash + (this.#hashes ?? []).join('')) !== record.hash) {
      return 'the events are not those of the batch';
    }
    const follows = this.#previous?.lastSeq === record.firstSeq - 1;
    return follows && this.#previous?.hash !== record.previousHash
      ? 'the batch does not follow the one before it'
      : undefined;
  }

  async close(): Promise<void> {
    await this.#records.return(undefined);
  }
}
