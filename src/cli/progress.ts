// A line of progress on stderr, on a terminal only.

const intervalMs = 100;

export class Progress {
  readonly #what: string;
  #shownAtMs = 0;

  constructor(what: string) {
    this.#what = what;
  }

  show(doneCount: number, totalCount: number): void {
    const nowMs = Date.now();
    if (!process.stderr.isTTY || nowMs - this.#shownAtMs < intervalMs) return;
    this.#shownAtMs = nowMs;
    const percent = totalCount === 0 ? 100 : Math.floor((100 * doneCount) / totalCount);
    process.stderr.write(`\r\u001b[K${doneCount} of ${totalCount} ${this.#what} (${percent} %)`);
  }

  clear(): void {
    if (this.#shownAtMs !== 0) process.stderr.write('\r\u001b[K');
  }
}
