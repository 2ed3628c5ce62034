// Time under the test's control: it passes when the test says so, and what is due then happens in
// its order.
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/engine/ports.ts';

interface Timer {
  readonly dueUs: number;
  readonly callback: () => void;
}

/** Everything that is ready has run when this resolves: promises, and the flush of the log. */
async function settle(): Promise<void> {
  for (let round = 0; round < 4; round += 1) await turn();
}

export class FakeClock implements Clock {
  #nowUs = 1_760_000_000_000_000;
  readonly #timers = new Set<Timer>();

  nowUs(): number {
    return this.#nowUs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueUs: this.#nowUs + delayMs * 1_000, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets time pass. */
  async pass(durationMs: number): Promise<void> {
    const endUs = this.#nowUs + durationMs * 1_000;
    for (;;) {
      await settle();
      const next = [...this.#timers]
        .filter(({ dueUs }) => dueUs <= endUs)
        .sort((a, b) => a.dueUs - b.dueUs)[0];
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowUs = Math.max(this.#nowUs, next.dueUs);
      next.callback();
    }
    this.#nowUs = endUs;
  }

  /** Lets as little time pass as the answer takes. */
  async until<Value>(answer: Promise<Value>): Promise<Value> {
    let isOver = false;
    void answer.finally(() => (isOver = true)).catch(() => undefined);
    for (let round = 0; round < 1_000; round += 1) {
      await settle();
      if (isOver) return answer;
      await this.pass(1);
    }
    throw new Error('the call never ends');
  }

  /** Somebody sets the clock of a machine on which nothing runs. */
  setBack(durationMs: number): void {
    this.forgetTimers();
    this.#nowUs -= durationMs * 1_000;
  }

  /** What was to happen later does not happen any more: the process is gone. */
  forgetTimers(): void {
    this.#timers.clear();
  }
}
