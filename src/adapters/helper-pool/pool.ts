// A bounded number of helper processes for system calls that can block. A request that passes its
// deadline costs its worker: it is killed, or left behind if the kernel does not let it go, and a
// fresh one takes the place. Nothing of the service is blocked either way.
import type { HelperReply, HelperRequest } from './protocol.ts';
import { Worker } from './worker.ts';

/** Workers at a time. */
const workerCountMax = 4;

/** Requests that may wait for a worker. */
const queueLengthMax = 4_096;

/** Workers stuck in the kernel that are tolerated; with more, nothing new is started. */
const abandonedCountMax = 8;

export interface HelperPoolOptions {
  readonly program: string;
  readonly args?: readonly string[];
  /** Told of each worker that could not be killed. */
  readonly onAbandoned: (pid: number | undefined, request: HelperRequest) => void;
}

interface Job {
  readonly request: HelperRequest;
  readonly deadlineMs: number;
  readonly resolve: (reply: HelperReply) => void;
}

export class HelperPool {
  readonly #options: HelperPoolOptions;
  readonly #idle: Worker[] = [];
  readonly #busy = new Set<Worker>();
  readonly #abandoned = new Set<Worker>();
  readonly #queue: Job[] = [];
  #isClosed = false;

  constructor(options: HelperPoolOptions) {
    this.#options = options;
  }

  /** Runs one request; ETIMEDOUT once `deadlineMs` has passed since a worker took it. */
  run(request: HelperRequest, { deadlineMs }: { deadlineMs: number }): Promise<HelperReply> {
    if (this.#isClosed) return refused('ECANCELED', 'the service is stopping');
    if (this.#queue.length >= queueLengthMax) {
      return refused('EAGAIN', `${queueLengthMax} requests wait for a helper already`);
    }
    return new Promise((resolve) => {
      this.#queue.push({ request, deadlineMs, resolve });
      this.#pump();
    });
  }

  get abandonedCount(): number {
    return this.#abandoned.size;
  }

  /** Ids of the processes that live now. */
  get pids(): readonly number[] {
    return [...this.#idle, ...this.#busy, ...this.#abandoned]
      .map((worker) => worker.pid)
      .filter((pid) => pid !== undefined);
  }

  /** Ends idle workers and kills busy ones; what waited is answered ECANCELED. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { resolve } of this.#queue.splice(0)) {
      resolve(failure('ECANCELED', 'the service is stopping'));
    }
    for (const worker of this.#idle.splice(0)) worker.end();
    await Promise.all([...this.#busy].map((worker) => worker.kill()));
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#busy.size < workerCountMax) {
      const worker = this.#takeWorker();
      if (worker === undefined) {
        for (const { resolve } of this.#queue.splice(0)) {
          resolve(failure('EAGAIN', `${this.#abandoned.size} helpers are stuck in the kernel`));
        }
        return;
      }
      const job = this.#queue.shift();
      if (job === undefined) return;
      this.#busy.add(worker);
      void this.#work(worker, job);
    }
  }

  #takeWorker(): Worker | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.isGone) return idle;
    }
    if (this.#abandoned.size >= abandonedCountMax) return undefined;
    const { program, args = [] } = this.#options;
    return new Worker({
      program,
      args,
      onExit: (worker) => {
        this.#abandoned.delete(worker);
      },
    });
  }

  async #work(worker: Worker, { request, deadlineMs, resolve }: Job): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<undefined>((passed) => {
      timer = setTimeout(() => {
        passed(undefined);
      }, deadlineMs);
    });
    const reply = await Promise.race([worker.run(request), timeout]);
    clearTimeout(timer);
    this.#busy.delete(worker);
    if (reply === undefined) {
      resolve(failure('ETIMEDOUT', `${request.operation} has not ended within ${deadlineMs} ms`));
      await this.#abandon(worker, request);
    } else {
      if (!worker.isGone && !this.#isClosed) this.#idle.push(worker);
      else worker.end();
      resolve(reply);
    }
    this.#pump();
  }

  async #abandon(worker: Worker, request: HelperRequest): Promise<void> {
    this.#abandoned.add(worker);
    if (await worker.kill()) this.#abandoned.delete(worker);
    else this.#options.onAbandoned(worker.pid, request);
  }
}

const failure = (code: string, message: string): HelperReply => ({
  ok: false,
  code,
  step: 'helper',
  message,
});

const refused = (code: string, message: string): Promise<HelperReply> =>
  Promise.resolve(failure(code, message));
