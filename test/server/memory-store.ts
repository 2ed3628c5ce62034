// An event store in memory, with the faults that the tests ask for.
import type { Checkpoint } from '../../src/machines/checkpoint.ts';
import type { RecordedEvent, StoredEvent } from '../../src/machines/kernel/envelope.ts';
import {
  LogDamaged,
  OutOfRange,
  type Damage,
  type EventStore,
  type ReadOptions,
} from '../../src/engine/ports.ts';

/**
 * Keeps everything; `damage` makes reads that meet it fail, `failure` every append, and
 * `checkpointFailure` every checkpoint and compaction.
 */
export class MemoryStore implements EventStore {
  readonly events: StoredEvent[] = [];
  readonly checkpoints: Checkpoint[] = [];
  firstSeq = 1;
  damage: Damage | undefined;
  /** Found by a scrub alone. */
  historyDamage: readonly Damage[] = [];
  scrubCount = 0;
  failure: Error | undefined;
  checkpointFailure: Error | undefined;
  isClosed = false;

  readonly lost = [];

  get foldableFromSeq(): number {
    return this.firstSeq;
  }

  get lastSeq(): number {
    return this.events.at(-1)?.globalSeq ?? this.firstSeq - 1;
  }

  async append(events: readonly RecordedEvent[]): Promise<void> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    for (const event of events) this.events.push({ ...event, previousHash: '00', hash: '01' });
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<readonly StoredEvent[]> {
    const { stream, toSeq = this.lastSeq } = options;
    const fromSeq = options.fromSeq ?? (stream === undefined ? this.firstSeq : 1);
    if (stream === undefined && fromSeq < this.firstSeq) throw new OutOfRange(this.firstSeq);
    for (const event of [...this.events]) {
      const { globalSeq } = event;
      if (globalSeq < fromSeq || globalSeq > toSeq) continue;
      if (stream !== undefined && event.stream !== stream) continue;
      const { damage } = this;
      if (damage !== undefined && globalSeq >= damage.fromSeq && globalSeq <= damage.toSeq) {
        throw new LogDamaged(damage);
      }
      yield [event];
    }
  }

  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    if (this.checkpointFailure !== undefined) throw this.checkpointFailure;
    this.checkpoints.push(checkpoint);
  }

  async readCheckpoint(atSeq = this.lastSeq): Promise<Checkpoint | undefined> {
    return this.checkpoints.findLast(({ globalSeq }) => globalSeq <= atSeq);
  }

  async compact(checkpoint: Checkpoint, liveStreams: ReadonlySet<string>): Promise<number> {
    if (this.checkpointFailure !== undefined) throw this.checkpointFailure;
    this.checkpoints.push(checkpoint);
    const before = this.events.length;
    const kept = this.events.filter(
      ({ globalSeq, stream }) => globalSeq > checkpoint.globalSeq || liveStreams.has(stream),
    );
    this.events.splice(0, before, ...kept);
    this.firstSeq = checkpoint.globalSeq + 1;
    return before - kept.length;
  }

  async *scrub(): AsyncGenerator<Damage> {
    this.scrubCount += 1;
    if (this.damage !== undefined) yield this.damage;
    yield* this.historyDamage;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
