// Room for what the log is about to write. While the disk has space nothing is done. When it is
// full, the write-ahead log gets blocks ahead of its end in one step, since whatever else is free
// goes to whoever fills the disk.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { keepRoom } from '../native/files.ts';
import type { ReserveFile } from './space-guard.ts';

/** The share of a piece that goes ahead of the log's end: for some hundred events. */
const aheadShare = 1 / 2;
/** The share that must be there besides a batch: the log's framing, and the next few events. */
const marginShare = 1 / 16;

export class LogRoom {
  readonly #logPath: string;
  readonly #reserve: ReserveFile;

  constructor(logPath: string, reserve: ReserveFile) {
    this.#logPath = logPath;
    this.#reserve = reserve;
  }

  /** Whether a write may find no room. */
  get isShort(): boolean {
    return this.#reserve.isShort;
  }

  /** For an append of that many bytes; answers whether it will find room. */
  async forAppend(batchBytes: number): Promise<boolean> {
    const { pieceBytes } = this.#reserve;
    const path = this.#writeAheadLog();
    const found = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (path === undefined || found === undefined) return false;
    const leastBytes = batchBytes + pieceBytes * marginShare;
    if (found.blocks * 512 - found.size >= leastBytes) return true;
    const isKept = async (aheadBytes: number): Promise<boolean> =>
      (await keepRoom(path, found.size + Math.ceil(aheadBytes))).ok;
    const aheadBytes = Math.max(pieceBytes * aheadShare, leastBytes);
    if (await isKept(aheadBytes)) return true;
    this.#reserve.lend(aheadBytes + pieceBytes);
    return (await isKept(aheadBytes)) || (await isKept(leastBytes));
  }

  /** For a compaction, which writes anew what it keeps. */
  forCompaction(): void {
    this.#reserve.lendForMerge();
  }

  #writeAheadLog(): string | undefined {
    const numbers = readdirSync(this.#logPath)
      .filter((name) => /^\d+\.log$/.test(name))
      .map((name) => [parseInt(name, 10), name] as const)
      .sort(([a], [b]) => b - a);
    const newest = numbers[0]?.[1];
    return newest === undefined ? undefined : join(this.#logPath, newest);
  }
}
