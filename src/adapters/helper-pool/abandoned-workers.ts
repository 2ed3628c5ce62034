// The workers that the kernel holds for good, and what is refused on their account: whatever
// stopped one of them would stop the next, so a subject that is tried again must not cost a worker
// each time.
import { subjectsOf, subjectOf, type HelperRequest } from './requests.ts';
import type { Worker } from './worker.ts';

export interface AbandonedBounds {
  /** In place of so many abandoned workers nothing is started any more. */
  readonly abandonedMax: number;
  /**
   * An operation that holds so many starts no more of its kind, so that where no directory can be
   * deleted those that live are still measured. Less than the rest of the places by what may be
   * under way at the same moment.
   */
  readonly abandonedOfOperationMax: number;
}

export const abandonedDefaults: AbandonedBounds = { abandonedMax: 8, abandonedOfOperationMax: 4 };

/** A worker that a system call holds and that even a kill does not end. */
export interface AbandonedWorker {
  readonly pid: number;
  readonly operation: HelperRequest['operation'];
  readonly subject: string;
}

/** Why a request is not given to a worker. */
export interface Refusal {
  readonly code: 'EBUSY' | 'EAGAIN';
  readonly reason: string;
}

export class AbandonedWorkers {
  readonly #requests = new Map<Worker, HelperRequest>();
  readonly #bounds: AbandonedBounds;

  constructor(bounds: AbandonedBounds = abandonedDefaults) {
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#requests.size;
  }

  /** Whether nothing may be started in place of those that are stuck. */
  get isFull(): boolean {
    return this.count >= this.#bounds.abandonedMax;
  }

  add(worker: Worker, request: HelperRequest): AbandonedWorker {
    this.#requests.set(worker, request);
    return {
      pid: worker.pid ?? 0,
      operation: request.operation,
      subject: subjectOf(request),
    };
  }

  delete(worker: Worker): void {
    this.#requests.delete(worker);
  }

  /** Why this request would only hold one more worker, if it would. */
  refusal(request: HelperRequest): Refusal | undefined {
    const subjects = subjectsOf(request);
    for (const [{ pid }, stuck] of this.#requests) {
      // Which part of a batch is stuck is not known until they are tried one by one.
      if (stuck.operation === 'batch' || !subjects.includes(subjectOf(stuck))) continue;
      const reason = `process ${pid} is still stuck in the kernel with ${subjectOf(stuck)}`;
      return { code: 'EBUSY', reason: `${reason}; it is tried again once that process has ended` };
    }
    const operation = operationOf(request);
    const ofOperation = [...this.#requests.values()].filter(
      (stuck) => operationOf(stuck) === operation,
    ).length;
    if (ofOperation < this.#bounds.abandonedOfOperationMax) return undefined;
    const reason = `${ofOperation} workers are stuck in the kernel with ${operation} already`;
    return { code: 'EAGAIN', reason };
  }
}

/** A batch is of one operation, and counts as it. */
const operationOf = (request: HelperRequest): HelperRequest['operation'] =>
  request.operation === 'batch'
    ? (request.requests[0]?.operation ?? request.operation)
    : request.operation;
