// A bounded number of worker processes for system calls that can block.
//
// Invariants: a request is answered exactly once and never throws for conditions of the world. At
// its deadline the worker is killed and the answer waits until it is known to be dead; one that
// does not die is abandoned, and only then can the effect still happen after the answer. Abandoned
// workers are bounded: at the limit nothing new is started in place of those that are stuck, and
// what one of them is stuck with is given to no other.
import { constants } from 'node:os';

import {
  AbandonedWorkers,
  type AbandonedBounds,
  type AbandonedWorker,
} from './abandoned-workers.ts';
import {
  subjectOf,
  type HelperFailure,
  type HelperRequest,
  type HelperResult,
  type HelperValues,
} from './requests.ts';
import { Worker, type WorkerAnswer } from './worker.ts';

const workersMaxDefault = 4;
const queueMaxDefault = 4096;
const killGraceMs = 1000;
const closeGraceMs = 1000;

export interface HelperPoolOptions {
  /** Path of the worker program. */
  readonly program: string;
  readonly workersMax?: number;
  /** Requests that may wait for a worker; more are answered EAGAIN. */
  readonly queueMax?: number;
  readonly onAbandoned?: (worker: AbandonedWorker) => void;
  readonly abandonedBounds?: AbandonedBounds;
  /** For tests: `--test`. */
  readonly programArguments?: readonly string[];
}

export interface RunOptions {
  /** From the moment a worker takes the request. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** What the pool holds at this moment. */
export interface HelperPoolStatus {
  readonly workerPids: readonly number[];
  readonly idleCount: number;
  readonly queuedCount: number;
  readonly abandonedCount: number;
}

interface Job {
  readonly request: HelperRequest;
  readonly answer: (result: HelperResult<unknown>) => void;
  /** Starts the clock of the deadline. */
  readonly begin: () => void;
  worker: Worker | undefined;
  isAnswered: boolean;
}

export class HelperPool {
  readonly #options: HelperPoolOptions;
  readonly #workersMax: number;
  readonly #queueMax: number;
  readonly #workers = new Set<Worker>();
  readonly #idle: Worker[] = [];
  readonly #queue: Job[] = [];
  readonly #abandoned: AbandonedWorkers;
  #isClosed = false;

  constructor(options: HelperPoolOptions) {
    this.#options = options;
    this.#workersMax = options.workersMax ?? workersMaxDefault;
    this.#queueMax = options.queueMax ?? queueMaxDefault;
    this.#abandoned = new AbandonedWorkers(options.abandonedBounds);
  }

  /** Carries out one request in a worker. */
  run<Request extends HelperRequest>(
    request: Request,
    options: RunOptions,
  ): Promise<HelperResult<HelperValues[Request['operation']]>> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const begin = (): void => {
        timer = setTimeout(() => {
          this.#interrupt(job, 'ETIMEDOUT', `not done within ${options.deadlineMs} ms`);
        }, options.deadlineMs);
      };
      const job: Job = { request, answer: finish, begin, worker: undefined, isAnswered: false };
      const abort = (): void => this.#interrupt(job, 'ECANCELED', 'the caller gave up');
      function finish(result: HelperResult<unknown>): void {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', abort);
        resolve(result as HelperResult<HelperValues[Request['operation']]>);
      }
      options.signal?.addEventListener('abort', abort, { once: true });
      if (options.signal?.aborted === true) abort();
      else this.#submit(job);
    });
  }

  get status(): HelperPoolStatus {
    return {
      workerPids: [...this.#workers].flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
      idleCount: this.#idle.length,
      queuedCount: this.#queue.length,
      abandonedCount: this.#abandoned.count,
    };
  }

  /** Answers what waits, lets what runs end within a grace period, and ends all workers. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const job of this.#queue.splice(0)) {
      this.#settle(job, failure(job.request, 'ECANCELED', 'close', 'the pool is closing'));
    }
    const workers = [...this.#workers];
    for (const worker of workers) worker.endInput();
    await within(Promise.all(workers.map(({ ended }) => ended)), closeGraceMs);
    for (const worker of workers) worker.kill();
    await within(Promise.all(workers.map(({ ended }) => ended)), killGraceMs);
    for (const worker of workers) worker.forget();
  }

  #submit(job: Job): void {
    const { request } = job;
    if (this.#isClosed) {
      this.#settle(job, failure(request, 'ECANCELED', 'close', 'the pool is closed'));
    } else if (this.#queue.length >= this.#queueMax) {
      const reason = `${this.#queueMax} requests wait already; try again later`;
      this.#settle(job, failure(request, 'EAGAIN', 'queue', reason));
    } else if (!this.#isRefused(job)) {
      this.#queue.push(job);
      this.#serveQueue();
    }
  }

  /** Answers a request that would only hold one more worker. */
  #isRefused(job: Job): boolean {
    const refusal = this.#abandoned.refusal(job.request);
    if (refusal === undefined) return false;
    this.#settle(job, failure(job.request, refusal.code, 'queue', refusal.reason));
    return true;
  }

  #serveQueue(): void {
    for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
      // What it is about may have got stuck while it waited.
      const worker = this.#isRefused(job) ? undefined : this.#takeWorker();
      if (worker === undefined && !job.isAnswered) break;
      this.#queue.shift();
      if (worker !== undefined) void this.#serve(worker, job);
    }
    if (this.#workers.size > 0) return;
    // Nobody is left who could ever take these.
    for (const job of this.#queue.splice(0)) {
      const reason = `${this.#abandoned.count} workers are stuck in the kernel; see their processes`;
      this.#settle(job, failure(job.request, 'EAGAIN', 'queue', reason));
    }
  }

  #takeWorker(): Worker | undefined {
    for (let worker = this.#idle.pop(); worker !== undefined; worker = this.#idle.pop()) {
      if (!worker.hasEnded) return worker;
    }
    if (this.#workers.size >= this.#workersMax || this.#abandoned.isFull) return undefined;
    const worker = new Worker(this.#options.program, this.#options.programArguments ?? []);
    this.#workers.add(worker);
    void worker.ended.then(() => {
      this.#workers.delete(worker);
      this.#abandoned.delete(worker);
      const index = this.#idle.indexOf(worker);
      if (index >= 0) this.#idle.splice(index, 1);
      this.#serveQueue();
    });
    return worker;
  }

  async #serve(worker: Worker, job: Job): Promise<void> {
    job.worker = worker;
    job.begin();
    const answer = await worker.ask(job.request);
    if (answer.kind === 'reply' && !job.isAnswered && this.#workers.has(worker)) {
      this.#idle.push(worker);
    }
    this.#settle(job, toResult(job.request, answer));
    this.#serveQueue();
  }

  // The job counts as answered from here on: what the worker still says is not listened to, and the
  // worker does not come back.
  #interrupt(job: Job, code: 'ETIMEDOUT' | 'ECANCELED', reason: string): void {
    if (job.isAnswered) return;
    const step = code === 'ETIMEDOUT' ? 'deadline' : 'abort';
    const { worker } = job;
    if (worker === undefined) {
      const index = this.#queue.indexOf(job);
      if (index >= 0) this.#queue.splice(index, 1);
      this.#settle(job, failure(job.request, code, step, reason));
      return;
    }
    job.isAnswered = true;
    worker.kill();
    void within(worker.ended, killGraceMs).then((hasEnded) => {
      if (!hasEnded) this.#abandon(worker, job.request);
      const detail = hasEnded ? reason : `${reason}, and it cannot be stopped`;
      job.answer({ ...failure(job.request, code, step, detail), abandoned: !hasEnded });
    });
  }

  #abandon(worker: Worker, request: HelperRequest): void {
    worker.forget();
    this.#workers.delete(worker);
    const abandoned = this.#abandoned.add(worker, request);
    this.#options.onAbandoned?.(abandoned);
    this.#serveQueue();
  }

  #settle(job: Job, result: HelperResult<unknown>): void {
    if (job.isAnswered) return;
    job.isAnswered = true;
    job.answer(result);
  }
}

/** True if the promise was resolved in time. The timer keeps the process alive meanwhile. */
const within = (promise: Promise<unknown>, milliseconds: number): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), milliseconds);
    void promise.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });

type FailureCode = 'ETIMEDOUT' | 'ECANCELED' | 'EAGAIN' | 'EBUSY' | 'EPIPE';

const failure = (
  request: HelperRequest,
  code: FailureCode,
  step: string,
  reason: string,
): HelperFailure => {
  const path = subjectOf(request);
  const message = `${request.operation} ${path}: ${reason}`;
  return { ok: false, errno: constants.errno[code], code, step, message, path };
};

const toResult = (request: HelperRequest, answer: WorkerAnswer): HelperResult<unknown> => {
  if (answer.kind === 'reply') {
    const { id: _, ...reply } = answer.reply as { id: unknown } & HelperResult<unknown>;
    return reply;
  }
  if (answer.spawnCode !== undefined) {
    const isMissing = ['ENOENT', 'EACCES'].includes(answer.spawnCode);
    const next = isMissing ? 'run make build' : 'try again later';
    const failed = failure(request, 'EPIPE', 'spawn', `${answer.reason}: ${next}`);
    return { ...failed, code: answer.spawnCode };
  }
  return failure(
    request,
    'EPIPE',
    'worker',
    `the worker ended without an answer: ${answer.reason}`,
  );
};
