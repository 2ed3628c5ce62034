// Carries out what the world owes subjects of one kind (snapshots, devices): intents, derived from
// state, become effects once the events that justify them are durable; their outcomes are recorded
// with the operation's id. The same path serves a request, a retry and the recovery after a crash.
// At most one effect runs per subject.
import type { Cause, EffectFailure } from '../machines/kernel/envelope.ts';
import { Lane, type LaneBounds } from './lane.ts';
import type { Clock, CrashPoint, Logger } from './ports.ts';
import type { Sequencer } from './sequencer.ts';

/** What every intent has. */
export interface AnyIntent {
  readonly kind: string;
  readonly operationId: number;
  readonly attemptCount: number;
}

/** The end of one attempt, durable. */
export interface Ended {
  readonly operationId: number;
  readonly failure: EffectFailure | null;
}

/** What a runner must know of its subjects. */
export interface Subjects<Intent extends AnyIntent, Outcome> {
  /** For log lines: `snapshotId`, `deviceId`. */
  readonly idField: string;
  /** How many effects of a kind run at a time, of all subjects and of one group. */
  readonly bounds: Readonly<Record<Intent['kind'], LaneBounds>>;
  idOf(intent: Intent): number;
  /** What hangs together: usually the subject by itself. */
  groupOf(intent: Intent): number;
  /** How long it has to wait before it is begun; 0: not at all. */
  delayMsOf(intent: Intent): number;
  carryOut(intent: Intent): Promise<Outcome>;
  failureOf(outcome: Outcome): EffectFailure | null;
  /**
   * Records an outcome; answers the position of its last event, undefined if it belongs to an
   * attempt that is over.
   */
  record(intent: Intent, outcome: Outcome, cause: Cause): number | undefined;
}

export interface EffectRunnerOptions {
  readonly sequencer: Sequencer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly crashPoint: CrashPoint;
}

/** Why an operation was begun; asked when its outcome is recorded. */
export type AskCause = () => Cause | Promise<Cause>;

interface Waiter {
  /** Undefined: any attempt. */
  readonly operationId: number | undefined;
  readonly resolve: (ended: Ended) => void;
}

interface Job<Intent> {
  readonly intent: Intent;
  readonly askCause: AskCause;
}

interface Delayed<Intent> {
  readonly job: Job<Intent>;
  readonly cancel: () => void;
}

export class EffectRunner<Intent extends AnyIntent, Outcome extends { readonly kind: string }> {
  readonly #options: EffectRunnerOptions;
  readonly #subjects: Subjects<Intent, Outcome>;
  readonly #running = new Map<number, number>();
  readonly #delayed = new Map<number, Delayed<Intent>>();
  readonly #settled = new Map<number, Waiter[]>();
  readonly #lanes: Readonly<Record<Intent['kind'], Lane<Job<Intent>>>>;
  #isStopped = false;

  constructor(subjects: Subjects<Intent, Outcome>, options: EffectRunnerOptions) {
    this.#subjects = subjects;
    this.#options = options;
    const lanes = Object.entries<LaneBounds>(subjects.bounds).map(
      ([kind, bounds]): [string, Lane<Job<Intent>>] => [
        kind,
        new Lane(bounds, (job) => this.#begin(job)),
      ],
    );
    this.#lanes = Object.fromEntries(lanes) as Record<Intent['kind'], Lane<Job<Intent>>>;
  }

  /** Starts what is owed; all events that justify it are durable. */
  schedule(intent: Intent, askCause: AskCause): void {
    const id = this.#subjects.idOf(intent);
    const { operationId } = intent;
    if (this.#isStopped || this.#running.get(id) === operationId) return;
    const delayMs = this.#subjects.delayMsOf(intent);
    const delayed = this.#delayed.get(id);
    if (delayed?.job.intent.operationId === operationId) return;
    // What it waited for is over.
    delayed?.cancel();
    this.#delayed.delete(id);
    const job = { intent, askCause };
    if (delayMs <= 0) {
      this.#enqueue(job);
      return;
    }
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(id);
      this.#enqueue(job);
    });
    this.#delayed.set(id, { job, cancel });
  }

  /** Begins at once what waits for its next attempt. */
  hurry(id: number): void {
    const delayed = this.#delayed.get(id);
    if (delayed === undefined) return;
    delayed.cancel();
    this.#delayed.delete(id);
    this.#enqueue(delayed.job);
  }

  /**
   * Resolves when an attempt of this subject has a durable outcome: the next one to end, or that of
   * `operationId`. Whoever reports an outcome must name it: the end of an earlier attempt may still
   * be on its way to the disk when the next one begins.
   */
  settled(id: number, operationId?: number): Promise<Ended> {
    return new Promise((resolve) => {
      const waiter = { operationId, resolve };
      const waiters = this.#settled.get(id);
      if (waiters === undefined) this.#settled.set(id, [waiter]);
      else waiters.push(waiter);
    });
  }

  /** Tells whoever waits for an attempt how it ended, if that came about without its effect. */
  endedOtherwise(id: number, ended: Ended, seq: number): void {
    void this.#isDurableAt(seq).then((isDurable) => {
      if (isDurable) this.#release(id, ended);
    });
  }

  /** How many callers wait for this subject. */
  waiterCount(id: number): number {
    return this.#settled.get(id)?.length ?? 0;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Starts nothing more; what runs goes on, and what was not done is owed to the next start. */
  stop(): void {
    this.#isStopped = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const lane of Object.values<Lane<Job<Intent>>>(this.#lanes)) lane.clear();
  }

  #enqueue(job: Job<Intent>): void {
    if (this.#isStopped) return;
    const { operationId, kind } = job.intent;
    this.#running.set(this.#subjects.idOf(job.intent), operationId);
    this.#lanes[kind as Intent['kind']].push(job, this.#subjects.groupOf(job.intent));
  }

  /** The place is free for the next effect at its end, not once the outcome is durable. */
  async #begin(job: Job<Intent>): Promise<void> {
    const outcome = await this.#run(job.intent);
    void this.#report(job, outcome);
  }

  async #run(intent: Intent): Promise<Outcome> {
    const { crashPoint } = this.#options;
    crashPoint(`effect:${intent.kind}:before`);
    const outcome = await this.#subjects.carryOut(intent);
    crashPoint(`effect:${intent.kind}:after`);
    return outcome;
  }

  async #report({ intent, askCause }: Job<Intent>, outcome: Outcome): Promise<void> {
    const { logger, sequencer } = this.#options;
    const { idField } = this.#subjects;
    const id = this.#subjects.idOf(intent);
    const { operationId, kind } = intent;
    // What began it, so that a follower can tie the outcome to its request.
    const cause = await askCause();
    if (this.#running.get(id) === operationId) this.#running.delete(id);
    // Too late to be recorded: the next start finds the operation in flight and does it again.
    if (sequencer.isOver) return;
    const failure = this.#subjects.failureOf(outcome);
    if (failure !== null) logger.warn({ [idField]: id, ...failure }, `${kind} failed`);
    const seq = this.#subjects.record(intent, outcome, {
      ...cause,
      kind: 'effect',
    });
    if (seq === undefined) return;
    // When the log fails nobody is told of the outcome: the process ends and the next start knows.
    const isTold = !this.#settled.has(id) || (await this.#isDurableAt(seq));
    if (isTold) this.#release(id, { operationId, failure });
  }

  #isDurableAt(seq: number): Promise<boolean> {
    return this.#options.sequencer.durableAt(seq).then(
      () => true,
      () => false,
    );
  }

  #release(id: number, ended: Ended): void {
    const waiters = this.#settled.get(id) ?? [];
    const later = waiters.filter(
      ({ operationId }) => operationId !== undefined && operationId !== ended.operationId,
    );
    if (later.length > 0) this.#settled.set(id, later);
    else this.#settled.delete(id);
    for (const waiter of waiters) if (!later.includes(waiter)) waiter.resolve(ended);
  }
}
