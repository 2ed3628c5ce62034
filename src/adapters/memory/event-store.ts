// The event store in memory: the reference for what the durable one must do, and a fast stand-in
// for tests. It has no disk, so it knows no damage.
import { hash } from 'node:crypto';
import type { RecordedEvent, StoredEvent } from '../../machines/kernel/envelope.ts';
import type { Checkpoint } from '../../machines/checkpoint.ts';
import type { Damage, EventStore, ReadOptions, SeqRange } from '../../engine/ports.ts';
import { OutOfRange } from '../../engine/ports.ts';

const hashLength = 32;
const yieldMax = 256;

function storedEvent(event: RecordedEvent, previousHash: string): StoredEvent {
  const { globalSeq, stream, revision, type, schemaVersion, timeUs, cause, data } = event;
  const ordered = { globalSeq, stream, revision, type, schemaVersion, timeUs, cause, data };
  const json = JSON.stringify(ordered);
  const ownHash = hash('sha256', previousHash + json).slice(0, hashLength);
  return { ...(JSON.parse(json) as RecordedEvent), previousHash, hash: ownHash };
}

export class MemoryEventStore implements EventStore {
  #events: StoredEvent[] = [];
  readonly #streams = new Map<string, StoredEvent>();
  readonly #checkpoints = new Map<number, Checkpoint>();
  #lastSeq = 0;
  #horizonSeq = 0;

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get firstSeq(): number {
    return this.#horizonSeq + 1;
  }

  get lost(): readonly SeqRange[] {
    return [];
  }

  get foldableFromSeq(): number {
    return this.firstSeq;
  }

  append(events: readonly RecordedEvent[]): Promise<void> {
    const stored: StoredEvent[] = [];
    const heads = new Map<string, StoredEvent>();
    for (const event of events) {
      const head = heads.get(event.stream) ?? this.#streams.get(event.stream);
      const isNext = event.globalSeq === this.#lastSeq + stored.length + 1;
      if (!isNext || event.revision !== (head?.revision ?? 0) + 1) {
        return Promise.reject(new Error(`event ${event.globalSeq} does not follow`));
      }
      const next = storedEvent(event, head?.hash ?? '0'.repeat(hashLength));
      stored.push(next);
      heads.set(event.stream, next);
    }
    this.#events.push(...stored);
    for (const [stream, head] of heads) {
      this.#streams.set(stream, head);
    }
    this.#lastSeq += stored.length;
    return Promise.resolve();
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<readonly StoredEvent[]> {
    const { stream, toSeq = this.#lastSeq } = options;
    const fromSeq = options.fromSeq ?? (stream === undefined ? this.firstSeq : 1);
    if (stream === undefined && fromSeq < this.firstSeq) {
      throw new OutOfRange(this.firstSeq);
    }
    const wanted = this.#events.filter(
      (event) =>
        event.globalSeq >= fromSeq &&
        event.globalSeq <= toSeq &&
        (stream === undefined || event.stream === stream),
    );
    for (let start = 0; start < wanted.length; start += yieldMax) {
      yield await Promise.resolve(wanted.slice(start, start + yieldMax));
    }
  }

  writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    if (checkpoint.globalSeq > this.#lastSeq) {
      return Promise.reject(new Error(`checkpoint at ${checkpoint.globalSeq} is beyond the end`));
    }
    this.#checkpoints.set(checkpoint.globalSeq, structuredClone(checkpoint));
    const newest = [...this.#checkpoints.keys()].sort((a, b) => b - a).slice(0, 2);
    for (const seq of this.#checkpoints.keys()) {
      if (!newest.includes(seq) && seq !== this.#horizonSeq) {
        this.#checkpoints.delete(seq);
      }
    }
    return Promise.resolve();
  }

  readCheckpoint(atSeq: number = this.#lastSeq): Promise<Checkpoint | undefined> {
    const seqs = [...this.#checkpoints.keys()].filter((seq) => seq <= atSeq);
    const found = this.#checkpoints.get(Math.max(...seqs));
    return Promise.resolve(found && structuredClone(found));
  }

  async compact(checkpoint: Checkpoint, liveStreams: ReadonlySet<string>): Promise<number> {
    const previousCount = this.#events.length;
    this.#checkpoints.set(checkpoint.globalSeq, structuredClone(checkpoint));
    this.#horizonSeq = checkpoint.globalSeq;
    await this.writeCheckpoint(checkpoint);
    this.#events = this.#events.filter(
      ({ globalSeq, stream }) => globalSeq > checkpoint.globalSeq || liveStreams.has(stream),
    );
    return previousCount - this.#events.length;
  }

  readonly historyDamage: readonly Damage[] = [];

  async *scrub(_signal: AbortSignal): AsyncGenerator<Damage> {
    // Nothing here can decay.
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
