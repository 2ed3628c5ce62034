// A queue with so many places, of which one group may have only some: what hangs for one group
// never holds up the others. Within a group what came first is first.

/** How many jobs run at a time. */
export interface LaneBounds {
  readonly concurrencyMax: number;
  /** Of one group. */
  readonly groupConcurrencyMax: number;
}

interface Queued<Job> {
  readonly job: Job;
  readonly group: number;
}

export class Lane<Job> {
  readonly #bounds: LaneBounds;
  readonly #begin: (job: Job) => Promise<void>;
  readonly #queue: Queued<Job>[] = [];
  readonly #runningOf = new Map<number, number>();
  #runningCount = 0;

  /** `begin` carries a job out, and resolves when its place is free again; it never rejects. */
  constructor(bounds: LaneBounds, begin: (job: Job) => Promise<void>) {
    this.#bounds = bounds;
    this.#begin = begin;
  }

  push(job: Job, group: number): void {
    this.#queue.push({ job, group });
    this.#pump();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#queue.length = 0;
  }

  #pump(): void {
    while (this.#runningCount < this.#bounds.concurrencyMax) {
      const next = this.#queue.findIndex(({ group }) => this.#hasPlaceFor(group));
      const [queued] = next === -1 ? [] : this.#queue.splice(next, 1);
      if (queued === undefined) return;
      this.#count(queued.group, 1);
      void this.#begin(queued.job).then(() => {
        this.#count(queued.group, -1);
        this.#pump();
      });
    }
  }

  #hasPlaceFor(group: number): boolean {
    return (this.#runningOf.get(group) ?? 0) < this.#bounds.groupConcurrencyMax;
  }

  #count(group: number, change: 1 | -1): void {
    this.#runningCount += change;
    const running = (this.#runningOf.get(group) ?? 0) + change;
    if (running === 0) this.#runningOf.delete(group);
    else this.#runningOf.set(group, running);
  }
}
