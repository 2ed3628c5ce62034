// The one synchronous section and the group commit. `record` numbers events and folds them into
// memory at once; the flush loop makes whatever has gathered durable in one synced batch. Memory
// may run ahead of the disk, the outside world may not: nothing leaves before `durableAt` its
// position. A failed append is final: what reached the disk is in doubt, so nothing is accepted any
// more.
import { BehaviorSubject, type Observable } from 'rxjs';
import { invariant } from '../machines/kernel/invariant.ts';
import { eventVersions } from '../machines/event-types.ts';
import { deviceStream } from '../machines/device/events.ts';
import { nodeStream } from '../machines/node/events.ts';
import { snapshotStream } from '../machines/snapshot/events.ts';
import type { Cause, NewEvent, RecordedEvent } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import { batchEventCountMax, lazyFlushDelayMs } from './limits.ts';
import { LogFailure, NodeStopping, type Clock, type CrashPoint, type EventStore } from './ports.ts';

/** Events of one stream, to be recorded. */
export interface Change {
  readonly stream: string;
  readonly events: readonly NewEvent[];
}

interface Waiter {
  readonly seq: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface SequencerOptions {
  readonly store: EventStore;
  readonly projection: Projection;
  readonly clock: Clock;
  readonly crashPoint: CrashPoint;
  /** Called once with the events of each batch, after it is durable. */
  readonly onDurable: (events: readonly RecordedEvent[]) => void;
  /** Called once when the log fails; the process must end. */
  readonly onFailure: (failure: LogFailure) => void;
}

export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #durable: BehaviorSubject<number>;
  /** What was recorded together becomes durable together. */
  #pending: (readonly RecordedEvent[])[] = [];
  #waiters: Waiter[] = [];
  #isFlushing = false;
  /** Up to here events are wanted on disk as soon as can be; later ones may wait for company. */
  #wantedSeq = 0;
  #cancelLazyFlush: (() => void) | undefined;
  #failure: LogFailure | undefined;
  #isClosed = false;

  constructor(options: SequencerOptions) {
    this.#options = options;
    this.#durable = new BehaviorSubject(options.store.lastSeq);
    invariant(
      options.projection.globalSeq === options.store.lastSeq,
      'the folded state must be at the end of the log',
    );
  }

  /** The last position that is durable, and every later one. */
  get durable(): Observable<number> {
    return this.#durable;
  }

  get durableSeq(): number {
    return this.#durable.value;
  }

  get appliedSeq(): number {
    return this.#options.projection.globalSeq;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether nothing is recorded any more. */
  get isOver(): boolean {
    return this.#isClosed || this.#failure !== undefined;
  }

  /**
   * Records nothing more, and waits for what was recorded: the log is closed behind it. What is
   * still under way is found by the next start, as after a crash.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#failure === undefined) await this.durableAt(this.appliedSeq);
  }

  /** Numbers and folds events of one snapshot; answers the position of the last. Synchronous. */
  recordSnapshot(snapshotId: number, events: readonly NewEvent[], cause: Cause): number {
    const seq = this.recordSnapshotLazily(snapshotId, events, cause);
    this.#scheduleFlush(seq);
    return seq;
  }

  /**
   * The same for events that nobody waits for: they share a later batch, or get one of their own
   * soon.
   */
  recordSnapshotLazily(snapshotId: number, events: readonly NewEvent[], cause: Cause): number {
    const seq = this.#record([{ stream: snapshotStream(snapshotId), events }], cause);
    this.#scheduleLazyFlush();
    return seq;
  }

  /** Numbers and folds events of one device; answers the position of the last. Synchronous. */
  recordDevice(deviceId: number, events: readonly NewEvent[], cause: Cause): number {
    const seq = this.recordDeviceLazily(deviceId, events, cause);
    this.#scheduleFlush(seq);
    return seq;
  }

  /** The same for events that nobody waits for. */
  recordDeviceLazily(deviceId: number, events: readonly NewEvent[], cause: Cause): number {
    const seq = this.#record([{ stream: deviceStream(deviceId), events }], cause);
    this.#scheduleLazyFlush();
    return seq;
  }

  /**
   * Numbers and folds events of several streams that belong together: after a crash either all of
   * them are there or none. Answers the position of the last. Synchronous.
   */
  recordTogether(changes: readonly Change[], cause: Cause): number {
    const seq = this.#record(changes, cause);
    this.#scheduleFlush(seq);
    return seq;
  }

  /** Numbers and folds events of the node; answers the position of the last. Synchronous. */
  recordNode(events: readonly NewEvent[], cause: Cause): number {
    const seq = this.#record([{ stream: nodeStream, events }], cause);
    this.#scheduleFlush(seq);
    return seq;
  }

  #record(changes: readonly Change[], cause: Cause): number {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isClosed) throw new NodeStopping();
    const { projection } = this.#options;
    const recorded: RecordedEvent[] = [];
    for (const { stream, events } of changes) {
      let revision = projection.revisionOf(stream);
      for (const event of events) {
        revision += 1;
        const numbered = this.#numbered({ ...event, stream, revision, cause });
        projection.apply(numbered);
        recorded.push(numbered);
      }
    }
    if (recorded.length > 0) this.#pending.push(recorded);
    return projection.globalSeq;
  }

  #numbered(event: Omit<RecordedEvent, 'globalSeq' | 'schemaVersion' | 'timeUs'>): RecordedEvent {
    const { projection, clock } = this.#options;
    const { stream, revision, type, cause, data } = event;
    const schemaVersion = eventVersions[type];
    invariant(schemaVersion !== undefined, `event type ${type} is not declared`);
    const globalSeq = projection.globalSeq + 1;
    const timeUs = clock.nowUs();
    return { globalSeq, stream, revision, type, schemaVersion, timeUs, cause, data };
  }

  /**
   * Resolves once everything up to `seq` is durable; rejects with LogFailure if it never will be.
   */
  durableAt(seq: number): Promise<void> {
    if (seq <= this.#durable.value) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#scheduleFlush(seq);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ seq, resolve, reject });
    });
  }

  // From setImmediate, so that the first batch is not a batch of one when many callers arrive at
  // once.
  #scheduleFlush(seq: number): void {
    this.#wantedSeq = Math.max(this.#wantedSeq, seq);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => void this.#flush());
  }

  #scheduleLazyFlush(): void {
    if (this.#isFlushing || this.#cancelLazyFlush !== undefined) return;
    this.#cancelLazyFlush = this.#options.clock.after(lazyFlushDelayMs, () => {
      this.#cancelLazyFlush = undefined;
      this.#scheduleFlush(this.appliedSeq);
    });
  }

  async #flush(): Promise<void> {
    const { store, onDurable } = this.#options;
    this.#cancelLazyFlush?.();
    this.#cancelLazyFlush = undefined;
    while (this.#pending.length > 0 && this.durableSeq < this.#wantedSeq) {
      const batch = this.#takeBatch();
      try {
        await store.append(batch);
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#advance(batch);
      onDurable(batch);
    }
    this.#isFlushing = false;
    if (this.#pending.length > 0) this.#scheduleLazyFlush();
  }

  #takeBatch(): readonly RecordedEvent[] {
    const batch: RecordedEvent[] = [];
    let count = 0;
    for (const group of this.#pending) {
      if (count > 0 && batch.length + group.length > batchEventCountMax) break;
      batch.push(...group);
      count += 1;
    }
    this.#pending = this.#pending.slice(count);
    return batch;
  }

  #advance(batch: readonly RecordedEvent[]): void {
    const last = batch.at(-1);
    invariant(last !== undefined, 'a batch holds events');
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.seq <= last.globalSeq) waiter.resolve();
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
    this.#durable.next(last.globalSeq);
  }

  #fail(error: unknown): void {
    this.#failure =
      error instanceof LogFailure
        ? error
        : new LogFailure(`the log could not be written: ${String(error)}`, { cause: error });
    for (const waiter of this.#waiters) waiter.reject(this.#failure);
    this.#waiters = [];
    this.#options.onFailure(this.#failure);
  }
}
