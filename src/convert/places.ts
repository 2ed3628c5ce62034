// A bounded number of places for work that is done at the same time; the rest waits in order.

export class Places {
  #freeCount: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#freeCount = count;
  }

  /** Does the work when there is a place for it. */
  async with<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#freeCount === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#freeCount -= 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // A place that is given back goes to who waits longest.
      if (next === undefined) this.#freeCount += 1;
      else next();
    }
  }
}
