// Checkpoints and compaction: when the folded state is stored, and how far history is dropped.
import { accepted, type Result } from '../machines/kernel/rejection.ts';
import type { Cause } from '../machines/kernel/envelope.ts';
import { liveStreamsOf } from '../machines/checkpoint.ts';
import { isDeviceInFlight } from '../machines/device/evolve.ts';
import { nodeStream } from '../machines/node/events.ts';
import { isInFlight } from '../machines/snapshot/evolve.ts';
import type { Projection } from '../machines/projection.ts';
import type { CompactionResult } from './api.ts';
import { foldLog } from './boot.ts';
import { compactionIntervalMs } from './limits.ts';
import { LogFailure, type Clock, type EventStore, type Logger, type SpaceGuard } from './ports.ts';
import { RetentionPolicy } from './retention-policy.ts';
import type { RetentionLimits } from './retention-policy.ts';
import type { Sequencer } from './sequencer.ts';

export interface RetentionOptions extends RetentionLimits {
  readonly store: EventStore;
  readonly projection: Projection;
  readonly sequencer: Sequencer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkpointEveryEventCount: number;
  readonly spaceGuard: SpaceGuard;
  /** Called when the log fails; the process must end. */
  readonly onFailure: (failure: LogFailure) => void;
}

export class Retention {
  readonly #options: RetentionOptions;
  readonly #policy: RetentionPolicy;
  #checkpointedSeq: number;
  #storing: Promise<number> | undefined;
  #compacting: Promise<unknown> | undefined;
  #cancelTimer: () => void = () => undefined;
  #isStopped = false;

  constructor(options: RetentionOptions, checkpointedSeq: number) {
    this.#options = options;
    this.#policy = new RetentionPolicy(options);
    this.#checkpointedSeq = checkpointedSeq;
  }

  start(): void {
    this.#cancelTimer = this.#options.clock.after(compactionIntervalMs, () => {
      void this.#compactByPolicy().finally(() => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  /** Begins nothing more by itself, and waits for what runs. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#compacting;
    await this.#storing;
  }

  /** Called as events become durable: stores a checkpoint when enough have gathered. */
  notice(durableSeq: number): void {
    if (durableSeq - this.#checkpointedSeq < this.#options.checkpointEveryEventCount) return;
    if (this.#isStopped || this.#storing !== undefined) return;
    // What room there is belongs to what frees more.
    if (this.#options.spaceGuard.isLow) return;
    this.storeCheckpoint().catch((error: unknown) => {
      this.#options.logger.warn({ error: String(error) }, 'a checkpoint could not be stored');
    });
  }

  /** Stores the state as of now; answers its position. */
  async storeCheckpoint(): Promise<number> {
    while (this.#storing !== undefined) await this.#storing.catch(() => undefined);
    this.#storing = this.#store();
    try {
      return await this.#storing;
    } finally {
      this.#storing = undefined;
    }
  }

  async #store(): Promise<number> {
    const { store, projection, sequencer } = this.#options;
    const checkpoint = projection.toCheckpoint();
    await sequencer.durableAt(checkpoint.globalSeq);
    if (checkpoint.globalSeq > this.#checkpointedSeq) {
      await this.#orFail(store.writeCheckpoint(checkpoint));
    }
    this.#checkpointedSeq = checkpoint.globalSeq;
    return checkpoint.globalSeq;
  }

  /** Drops history through `throughSeq`, but never past work that is not yet resolved. */
  async compact(throughSeq: number, cause: Cause): Promise<Result<CompactionResult>> {
    while (this.#compacting !== undefined) await this.#compacting;
    const running = this.#compact(throughSeq, cause);
    this.#compacting = running.catch(() => undefined);
    try {
      return await running;
    } finally {
      this.#compacting = undefined;
    }
  }

  async #compact(throughSeq: number, cause: Cause): Promise<Result<CompactionResult>> {
    const { store, projection, sequencer } = this.#options;
    let horizonSeq = Math.min(throughSeq, sequencer.durableSeq);
    for (const { lastSeq } of statesInFlight(projection)) {
      horizonSeq = Math.min(horizonSeq, lastSeq - 1);
    }
    if (horizonSeq < store.firstSeq) return accepted({ horizonSeq, removedEventCount: 0 });
    // What resolved work in memory must not be lost after the beginning of that work.
    await sequencer.durableAt(sequencer.appliedSeq);
    const atHorizon = await foldLog(store, horizonSeq);
    // What lived at the horizon keeps all of its history until its end is dropped, too. Of the node
    // nothing is kept: the state at the horizon holds all that its events amount to.
    const checkpoint = atHorizon.toCheckpoint();
    const live = new Set(liveStreamsOf(checkpoint));
    live.delete(nodeStream);
    const removedEventCount = await this.#orFail(store.compact(checkpoint, live));
    const data = { horizonSeq, removedEventCount };
    await sequencer.durableAt(sequencer.recordNode([{ type: 'LogCompacted', data }], cause));
    return accepted(data);
  }

  /** A log whose checkpoint could not be written is as much in doubt as after a failed append. */
  async #orFail<Value>(work: Promise<Value>): Promise<Value> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof LogFailure) this.#options.onFailure(error);
      throw error;
    }
  }

  async #compactByPolicy(): Promise<void> {
    const { logger } = this.#options;
    try {
      const throughSeq = await this.#policy.dueThrough();
      if (throughSeq === undefined) return;
      const result = await this.compact(throughSeq, { kind: 'timer', method: 'Compact' });
      const isDropped = result.ok && result.value.removedEventCount > 0;
      if (isDropped) logger.info(result.value, 'old history was dropped');
    } catch (error) {
      logger.warn({ error: String(error) }, 'old history could not be dropped');
    }
  }
}

/** Everything to which an effect is owed. */
function* statesInFlight({
  catalog,
  devices,
}: Projection): Generator<{ readonly lastSeq: number }> {
  for (const state of catalog.states.values()) if (isInFlight(state)) yield state;
  for (const state of devices.values()) if (isDeviceInFlight(state)) yield state;
}
