// A bar of progress on stderr, on a terminal only, in the form that varve-layer has.
import { humanSize } from '../history/text.ts';

const intervalMs = 100;
const barColumnsMax = 40;
const columnsDefault = 80;
const clearLine = '\r\u001b[K';

/** The line for so much done, no wider than `columns`. */
export function progressLine(
  label: string,
  amount: { readonly doneBytes: number; readonly totalBytes: number; readonly seconds: number },
  columns: number,
): string {
  const { totalBytes, seconds } = amount;
  const doneBytes = Math.min(amount.doneBytes, totalBytes);
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const speed = seconds > 0 ? `, ${humanSize(Math.round(doneBytes / seconds))}/s` : '';
  const percent = (100 * share).toFixed(1);
  const text = ` ${percent} %, ${humanSize(doneBytes)} of ${humanSize(totalBytes)}${speed}`;
  const room = Math.min(barColumnsMax, columns - label.length - text.length - 3);
  const filled = Math.floor(share * room);
  const bar = room > 0 ? ` [${'='.repeat(filled)}${' '.repeat(room - filled)}]` : '';
  return `${label}${bar}${text}`.slice(0, columns);
}

export class ProgressBar {
  #label = '';
  #beginMs = 0;
  #nextMs = 0;
  #isDrawn = false;

  /** Each label has a bar of its own, one after the other. */
  show(label: string, doneBytes: number, totalBytes: number): void {
    const nowMs = Date.now();
    if (label !== this.#label) {
      this.#label = label;
      this.#beginMs = nowMs;
      // What is done in a moment needs no bar.
      this.#nextMs = nowMs + 3 * intervalMs;
    }
    if (!process.stderr.isTTY || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + intervalMs;
    this.#isDrawn = true;
    const amount = { doneBytes, totalBytes, seconds: (nowMs - this.#beginMs) / 1000 };
    // The last column stays free: some terminals begin a new line behind it.
    const columns = (process.stderr.columns || columnsDefault) - 1;
    process.stderr.write(`${clearLine}${progressLine(label, amount, columns)}`);
  }

  clear(): void {
    if (this.#isDrawn) process.stderr.write(clearLine);
  }
}
