// The event store over LevelDB. One writer, one append at a time (the caller groups). What it
// serves is what was appended: every value's checksum, every event's hash, position and chain are
// checked on every read, and what does not hold is thrown as LogDamaged with its range.
import type { RecordedEvent, StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Checkpoint } from '../../machines/checkpoint.ts';
import type {
  CrashPoint,
  Damage,
  EventStore,
  Logger,
  ReadOptions,
  ScrubPace,
  SeqRange,
} from '../../engine/ports.ts';
import { LogDamaged, LogFailure, OutOfRange } from '../../engine/ports.ts';
import { streamsOf } from './checkpoint-record.ts';
import type { CheckpointRecord, StreamHead, StreamHeads } from './checkpoint-record.ts';
import {
  checkpointSeqs,
  dropCheckpoints,
  loadCheckpoint,
  storeCheckpoint,
} from './checkpoint-table.ts';
import { compactLog } from './compaction.ts';
import type { Database, Operation } from './database.ts';
import { failureCode, failureMessage, sizeBytesOf, writeBatch } from './database.ts';
import { chainBatch, encodeBatch, encodeEvent, zeroHash } from './event-record.ts';
import { walk, type DamagePiece } from './event-slots.ts';
import { writeExport } from './export-file.ts';
import type { Horizon } from './horizon.ts';
import { resumedAtSeq } from './horizon.ts';
import { batchKey, eventKey, indexKey } from './keys.ts';
import type { LogRoom } from './log-room.ts';
import { scrubLog } from './scrub.ts';
import { seal } from './sealed-value.ts';
import { headFromIndex, readStream, streamsIn } from './stream-index.ts';
import type { TipFile } from './tip-file.ts';

export interface StoreParts {
  readonly database: Database;
  readonly tip: TipFile;
  readonly room: LogRoom;
  readonly exportPath: string;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
  /** What the opening left to be looked into, which reads the database: damage of history. */
  readonly settled: Promise<readonly Damage[]>;
  /** Breaks that off. */
  readonly closing: AbortController;
  /** Called at a failed write, before it is reported. */
  readonly onFailure: (error: unknown) => void;
  readonly onClose: () => Promise<void>;
}

export interface StoreStart {
  readonly lastSeq: number;
  readonly batchHash: string;
  readonly heads: StreamHeads;
  readonly horizon: Horizon;
  /** A checkpoint that only the export holds; served until a newer one is stored. */
  readonly exported: CheckpointRecord | undefined;
  readonly damage: readonly Damage[];
}

/** What LevelDB cannot read is damage, wherever it says so; any other error stays what it is. */
function asDamage(error: unknown, range: SeqRange): unknown {
  const isUnreadable = ['LEVEL_CORRUPTION', 'LEVEL_IO_ERROR'].includes(failureCode(error));
  return isUnreadable
    ? new LogDamaged({ ...range, reason: failureMessage(error), streams: [] })
    : error;
}

export class LevelEventStore implements EventStore {
  readonly #parts: StoreParts;
  readonly #heads: StreamHeads;
  readonly #damage: readonly Damage[];
  #historyDamage: readonly Damage[] = [];
  #exported: CheckpointRecord | undefined;
  #lastSeq: number;
  #batchHash: string;
  #horizon: Horizon;
  #failure: LogFailure | undefined;
  #isAppending = false;

  constructor(parts: StoreParts, start: StoreStart) {
    this.#parts = parts;
    this.#heads = start.heads;
    this.#damage = start.damage;
    this.#exported = start.exported;
    this.#lastSeq = start.lastSeq;
    this.#batchHash = start.batchHash;
    this.#horizon = start.horizon;
    void parts.settled.then((found) => {
      this.#historyDamage = found;
    });
  }

  get historyDamage(): readonly Damage[] {
    return this.#historyDamage;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get firstSeq(): number {
    return this.#horizon.horizonSeq + 1;
  }

  get lost(): readonly SeqRange[] {
    return this.#horizon.losses.ranges;
  }

  get foldableFromSeq(): number {
    return resumedAtSeq(this.#horizon) + 1;
  }

  async append(events: readonly RecordedEvent[]): Promise<void> {
    if (events.length === 0) {
      return;
    }
    this.#mustBeWritable();
    if (this.#isAppending) {
      throw new Error('append called while another append runs');
    }
    this.#isAppending = true;
    const { crashPoint, database, tip, room } = this.#parts;
    try {
      const batch = await this.#encode(events);
      try {
        crashPoint('append:before');
        if (room.isShort) await room.forAppend(sizeBytesOf(batch.operations));
        await writeBatch(database, batch.operations, { sync: true });
        crashPoint('append:synced');
        tip.write({ lastSeq: batch.lastSeq, batchHash: batch.hash });
        crashPoint('append:tip');
      } catch (error) {
        throw this.#fail(error);
      }
      for (const [stream, head] of batch.heads) {
        this.#heads.set(stream, head);
      }
      this.#batchHash = batch.hash;
      this.#lastSeq = batch.lastSeq;
    } finally {
      this.#isAppending = false;
    }
  }

  #mustBeWritable(): void {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
    const damage = this.#damage[0];
    if (damage !== undefined) {
      throw new LogDamaged(damage);
    }
  }

  #fail(error: unknown): LogFailure {
    this.#failure = new LogFailure(
      'the log could not be written, what reached the disk is in doubt: ' +
        'stop varve serve, look at free space and at the disk, and start it again',
      { cause: error },
    );
    this.#parts.onFailure(error);
    return this.#failure;
  }

  async #encode(events: readonly RecordedEvent[]): Promise<{
    operations: Operation[];
    heads: StreamHeads;
    lastSeq: number;
    hash: string;
  }> {
    const operations: Operation[] = [];
    const heads: StreamHeads = new Map();
    const firstSeq = this.#lastSeq + 1;
    let seq = this.#lastSeq;
    let hashes = '';
    for (const event of events) {
      seq += 1;
      const { stream, revision } = event;
      const head = heads.get(stream) ?? this.#heads.get(stream) ?? (await this.#findHead(event));
      if (event.globalSeq !== seq || revision !== (head?.revision ?? 0) + 1) {
        throw new Error(
          `event ${event.globalSeq} (${stream} ${revision}) does not follow ` +
            `${seq - 1} (${stream} ${head?.revision ?? 0})`,
        );
      }
      const { value, hash } = encodeEvent(event, head?.hash ?? zeroHash);
      const index = indexKey(stream, revision);
      operations.push({ type: 'put', key: eventKey(seq), value });
      operations.push({ type: 'put', key: index, value: seal(index, String(seq)) });
      heads.set(stream, { revision, lastSeq: seq, hash });
      hashes += hash;
    }
    const record = chainBatch({ firstSeq, lastSeq: seq }, this.#batchHash, hashes);
    operations.push({ type: 'put', key: batchKey(seq), value: encodeBatch(record) });
    return { operations, heads, lastSeq: seq, hash: record.hash };
  }

  // Only streams that neither the checkpoint nor the tail knows are looked up: none in ordinary
  // work.
  async #findHead(event: RecordedEvent): Promise<StreamHead | undefined> {
    return event.revision === 1
      ? undefined
      : await headFromIndex(this.#parts.database, event.stream, event.revision - 1);
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<readonly StoredEvent[]> {
    const { database } = this.#parts;
    const toSeq = Math.min(options.toSeq ?? this.#lastSeq, this.#lastSeq);
    const horizon = this.#horizon;
    const head = this.#headFor(options.stream ?? '', toSeq);
    const snapshot = database.snapshot();
    try {
      if (options.stream !== undefined) {
        const { stream } = options;
        const range = { fromSeq: options.fromSeq ?? 1, toSeq };
        const whole = { fromSeq: 1, toSeq: this.#lastSeq };
        yield* readStream(database, { stream, range, whole, head, horizon, snapshot });
        return;
      }
      const fromSeq = options.fromSeq ?? this.firstSeq;
      if (fromSeq < horizon.horizonSeq + 1) {
        throw new OutOfRange(horizon.horizonSeq + 1);
      }
      const heads: StreamHeads = new Map();
      const { losses } = horizon;
      const walked = { fromSeq, toSeq, snapshot, heads, headsAreComplete: false, losses };
      for await (const piece of walk(database, walked)) {
        if (piece.kind === 'damage') {
          throw new LogDamaged(await this.#describe(piece));
        }
        yield piece.events;
      }
    } catch (error) {
      throw asDamage(error, { fromSeq: options.fromSeq ?? this.firstSeq, toSeq });
    } finally {
      await snapshot.close();
    }
  }

  /** How far the stream must reach for a read through `toSeq` to be whole, if it is known. */
  #headFor(stream: string, toSeq: number): StreamHead | undefined {
    // Of a stream that ended since, the horizon's checkpoint still knows how far it reached there.
    const { horizonSeq, record } = this.#horizon;
    const atHorizon = toSeq <= horizonSeq ? record?.heads.get(stream) : undefined;
    if (atHorizon !== undefined) return atHorizon;
    // With damage in the tail the newest event found need not be the stream's end.
    return this.#damage.length > 0 ? undefined : this.#heads.get(stream);
  }

  async #describe(found: DamagePiece): Promise<Damage> {
    const { fromSeq, toSeq, reason } = found;
    if (found.isLost) return { fromSeq, toSeq, reason, streams: [], isLost: true };
    const streams = await streamsIn(this.#parts.database, { fromSeq, toSeq });
    const damage: Damage = { fromSeq, toSeq, reason, streams };
    this.#parts.logger.error({ damage }, 'the log is damaged: stop varve serve, run varve repair');
    return damage;
  }

  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    this.#mustBeWritable();
    const { crashPoint, database } = this.#parts;
    const record = await this.#withHeads(checkpoint);
    try {
      crashPoint('checkpoint:before');
      await storeCheckpoint(database, record);
      crashPoint('checkpoint:stored');
      const seqs = await checkpointSeqs(database);
      const [newest, second] = seqs.filter((seq) => seq <= this.#lastSeq);
      const kept = [newest, second, this.#horizon.horizonSeq, resumedAtSeq(this.#horizon)];
      await dropCheckpoints(database, new Set(kept.filter((seq) => seq !== undefined)));
    } catch (error) {
      throw this.#fail(error);
    }
    await this.#export(record);
    crashPoint('checkpoint:exported');
    this.#exported = undefined;
    this.#forgetHeads(record);
  }

  // The export repeats what the log holds: without a new one the older one stays, and serves.
  async #export(record: CheckpointRecord): Promise<void> {
    const { exportPath, logger } = this.#parts;
    try {
      await writeExport(exportPath, record);
    } catch (error) {
      logger.warn({ path: exportPath, err: error }, 'the checkpoint could not be exported');
    }
  }

  // Heads of streams that ended before the checkpoint are not needed again; keeping them would grow
  // for ever.
  #forgetHeads(record: CheckpointRecord): void {
    for (const [stream, head] of this.#heads) {
      if (head.lastSeq <= record.checkpoint.globalSeq && !record.heads.has(stream)) {
        this.#heads.delete(stream);
      }
    }
  }

  async #withHeads(checkpoint: Checkpoint): Promise<CheckpointRecord> {
    const heads: StreamHeads = new Map();
    // A compaction that is done again finds older events gone: the stored checkpoints still know
    // them.
    const stored = await loadCheckpoint(this.#parts.database, checkpoint.globalSeq);
    const known = [this.#heads, stored?.heads, this.#horizon.record?.heads];
    const add = async (stream: string, revision: number): Promise<void> => {
      const heldBy = known.find((each) => each?.get(stream)?.revision === revision);
      const head =
        heldBy?.get(stream) ??
        (revision > 0 ? await headFromIndex(this.#parts.database, stream, revision) : undefined);
      if (head !== undefined) {
        heads.set(stream, head);
      }
    };
    if (checkpoint.globalSeq > this.#lastSeq) {
      throw new Error(
        `checkpoint at ${checkpoint.globalSeq} is beyond the log's end ${this.#lastSeq}`,
      );
    }
    for (const { stream, revision } of streamsOf(checkpoint)) await add(stream, revision);
    return { checkpoint, heads };
  }

  async readCheckpoint(atSeq: number = this.#lastSeq): Promise<Checkpoint | undefined> {
    const { database, logger } = this.#parts;
    for (const seq of await checkpointSeqs(database)) {
      if (seq <= atSeq) {
        const record = await loadCheckpoint(database, seq);
        if (record !== undefined) {
          return record.checkpoint;
        }
        logger.warn({ globalSeq: seq }, 'a checkpoint does not check out and is passed over');
      }
    }
    // Read at the opening, and held since: the database may no longer give them.
    const held = [this.#exported, this.#horizon.record].map((record) => record?.checkpoint);
    return held.find((checkpoint) => checkpoint !== undefined && checkpoint.globalSeq <= atSeq);
  }

  async compact(checkpoint: Checkpoint, liveStreams: ReadonlySet<string>): Promise<number> {
    this.#mustBeWritable();
    const { database, crashPoint, room } = this.#parts;
    const record = await this.#withHeads(checkpoint);
    try {
      if (room.isShort) room.forCompaction();
      return await compactLog({
        database,
        crashPoint,
        record,
        previous: this.#horizon,
        liveStreams,
        onHorizon: (horizon) => {
          this.#horizon = horizon;
          this.#forgetHeads(record);
        },
      });
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async *scrub(signal: AbortSignal, pace: ScrubPace = 'gentle'): AsyncGenerator<Damage> {
    const range = { fromSeq: 1, toSeq: this.#lastSeq };
    const request = { range, horizon: this.#horizon, signal, pace };
    const found = await scrubLog(this.#parts.database, request);
    if (!signal.aborted) this.#historyDamage = found;
    yield* found;
  }

  async close(): Promise<void> {
    this.#parts.closing.abort();
    await this.#parts.settled;
    await this.#parts.database.close();
    this.#parts.tip.close();
    await this.#parts.onClose();
  }
}
