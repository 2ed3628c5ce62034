// Carries out what the world owes each snapshot: intents, derived from state, become effects once
// the events that justify them are durable; their outcomes are recorded with the operation's id.
// The same path serves a request, a retry and the recovery after a crash. At most one effect runs
// per snapshot.
import type { Cause, EffectFailure, RecordedEvent } from '../machines/kernel/envelope.ts';
import type { Projection } from '../machines/projection.ts';
import type { SnapshotState } from '../machines/snapshot/state.ts';
import { decideOutcome, type Outcome } from '../machines/snapshot/decide.ts';
import { snapshotIdOf } from '../machines/snapshot/events.ts';
import { intentsOf, type Intent } from '../machines/snapshot/intents.ts';
import {
  deleteConcurrencyMax,
  retryDelayMaxMs,
  retryDelayMs,
  sealConcurrencyMax,
} from './limits.ts';
import type { Clock, CrashPoint, Logger, SnapshotDirectories } from './ports.ts';
import type { Sequencer } from './sequencer.ts';

export interface DispatcherOptions {
  readonly projection: Projection;
  readonly directories: SnapshotDirectories;
  readonly commitSync: 'syncfs' | 'none';
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
}

/** The end of one attempt, durable. */
export interface Ended {
  readonly operationId: number;
  readonly failure: EffectFailure | null;
}

interface Waiter {
  /** Undefined: any attempt. */
  readonly operationId: number | undefined;
  readonly resolve: (ended: Ended) => void;
}

/** Why an operation was begun; asked when its outcome is recorded. */
type AskCause = () => Cause | Promise<Cause>;

interface Job {
  readonly intent: Intent;
  readonly askCause: AskCause;
}

interface Delayed {
  readonly job: Job;
  readonly cancel: () => void;
}

interface Lane {
  readonly concurrencyMax: number;
  readonly queue: Job[];
  runningCount: number;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #sequencer: Sequencer;
  readonly #running = new Map<number, number>();
  readonly #delayed = new Map<number, Delayed>();
  readonly #settled = new Map<number, Waiter[]>();
  readonly #lanes: Readonly<Record<Intent['kind'], Lane>> = {
    sealLayer: { concurrencyMax: sealConcurrencyMax, queue: [], runningCount: 0 },
    deleteDirectory: { concurrencyMax: deleteConcurrencyMax, queue: [], runningCount: 0 },
  };
  #isStopped = false;

  constructor(sequencer: Sequencer, options: DispatcherOptions) {
    this.#sequencer = sequencer;
    this.#options = options;
  }

  /** Looks at the snapshot that a durable event is about, and starts what it owes. */
  consider({ stream, globalSeq, cause }: RecordedEvent): void {
    const snapshotId = snapshotIdOf(stream);
    const state =
      snapshotId === undefined ? undefined : this.#options.projection.snapshot(snapshotId);
    // Memory may already be ahead: the event that it is ahead by comes here by itself.
    if (state === undefined || state.lastSeq !== globalSeq) return;
    this.resume(state, () => cause);
  }

  /** Starts what a snapshot owes whose events are all durable. */
  resume(state: SnapshotState, askCause: AskCause): void {
    for (const intent of intentsOf(state)) this.#schedule({ intent, askCause });
  }

  /**
   * Looks at a snapshot whose newest event is not durable yet, and starts what changes nothing.
   */
  anticipate(snapshotId: number, cause: Cause): void {
    const state = this.#options.projection.snapshot(snapshotId);
    for (const intent of state === undefined ? [] : intentsOf(state)) {
      if (intent.changesNothing) this.#schedule({ intent, askCause: () => cause });
    }
  }

  /** Retries at once what waits for its next attempt. */
  hurry(snapshotId: number): void {
    const delayed = this.#delayed.get(snapshotId);
    if (delayed === undefined) return;
    delayed.cancel();
    this.#delayed.delete(snapshotId);
    this.#enqueue(delayed.job);
  }

  /**
   * Resolves when an attempt of this snapshot has a durable outcome: the next one to end, or that
   * of
   * `operationId`. Whoever reports an outcome must name it: the end of an earlier attempt may still
   * be on its way to the disk when the next one begins.
   */
  settled(snapshotId: number, operationId?: number): Promise<Ended> {
    return new Promise((resolve) => {
      const waiter = { operationId, resolve };
      const waiters = this.#settled.get(snapshotId);
      if (waiters === undefined) this.#settled.set(snapshotId, [waiter]);
      else waiters.push(waiter);
    });
  }

  /** How many callers wait for this snapshot. */
  waiterCount(snapshotId: number): number {
    return this.#settled.get(snapshotId)?.length ?? 0;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Starts nothing more; what runs goes on, and what was not done is owed to the next start. */
  stop(): void {
    this.#isStopped = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const lane of Object.values(this.#lanes)) lane.queue.length = 0;
  }

  #schedule(job: Job): void {
    const { snapshotId, operationId, attemptCount } = job.intent;
    if (this.#isStopped || this.#running.get(snapshotId) === operationId) return;
    if (attemptCount <= 1) {
      this.#enqueue(job);
      return;
    }
    if (this.#delayed.has(snapshotId)) return;
    const delayMs = Math.min(retryDelayMs * 2 ** (attemptCount - 2), retryDelayMaxMs);
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(snapshotId);
      this.#enqueue(job);
    });
    this.#delayed.set(snapshotId, { job, cancel });
  }

  #enqueue(job: Job): void {
    if (this.#isStopped) return;
    const { snapshotId, operationId, kind } = job.intent;
    this.#running.set(snapshotId, operationId);
    const lane = this.#lanes[kind];
    lane.queue.push(job);
    this.#pump(lane);
  }

  #pump(lane: Lane): void {
    while (lane.runningCount < lane.concurrencyMax) {
      const job = lane.queue.shift();
      if (job === undefined) return;
      lane.runningCount += 1;
      void this.#run(job.intent).then((outcome) => {
        // The place is free for the next effect now, not once the outcome is durable.
        lane.runningCount -= 1;
        this.#pump(lane);
        return this.#report(job, outcome);
      });
    }
  }

  async #run(intent: Intent): Promise<Outcome> {
    const { crashPoint } = this.#options;
    crashPoint(`effect:${intent.kind}:before`);
    const outcome = await this.#carryOut(intent);
    crashPoint(`effect:${intent.kind}:after`);
    return outcome;
  }

  async #report({ intent, askCause }: Job, outcome: Outcome): Promise<void> {
    const { projection, logger } = this.#options;
    const { snapshotId, operationId, kind } = intent;
    // What began it, so that a follower can tie the outcome to its request.
    const cause = await askCause();
    this.#running.delete(snapshotId);
    // Too late to be recorded: the next start finds the operation in flight and does it again.
    if (this.#sequencer.isOver) return;
    if (outcome.kind === 'failed') {
      logger.warn({ snapshotId, ...outcome.failure }, `${kind} failed`);
    }
    const state = projection.snapshot(snapshotId);
    const events = state === undefined ? [] : decideOutcome(state, operationId, outcome);
    if (events.length === 0) return;
    const seq = this.#sequencer.recordSnapshotLazily(snapshotId, events, {
      ...cause,
      kind: 'effect',
    });
    // When the log fails nobody is told of the outcome: the process ends and the next start knows.
    const isTold = !this.#settled.has(snapshotId) || (await this.#isDurableAt(seq));
    const failure = outcome.kind === 'failed' ? outcome.failure : null;
    if (isTold) this.#release(snapshotId, { operationId, failure });
  }

  #isDurableAt(seq: number): Promise<boolean> {
    return this.#sequencer.durableAt(seq).then(
      () => true,
      () => false,
    );
  }

  #release(snapshotId: number, ended: Ended): void {
    const waiters = this.#settled.get(snapshotId) ?? [];
    const later = waiters.filter(
      ({ operationId }) => operationId !== undefined && operationId !== ended.operationId,
    );
    if (later.length > 0) this.#settled.set(snapshotId, later);
    else this.#settled.delete(snapshotId);
    for (const waiter of waiters) if (!later.includes(waiter)) waiter.resolve(ended);
  }

  async #carryOut(intent: Intent): Promise<Outcome> {
    const { directories, commitSync } = this.#options;
    switch (intent.kind) {
      case 'sealLayer': {
        if (commitSync === 'syncfs') {
          const synced = await directories.sync(intent.snapshotId);
          if (!synced.ok) return { kind: 'failed', failure: synced.failure };
        }
        const usage = await directories.usage(intent.snapshotId, 'commit');
        return usage.ok
          ? { kind: 'sealed', ...usage.value }
          : { kind: 'failed', failure: usage.failure };
      }
      case 'deleteDirectory': {
        const removed = await directories.remove(intent.snapshotId);
        return removed.ok ? { kind: 'deleted' } : { kind: 'failed', failure: removed.failure };
      }
    }
  }
}
