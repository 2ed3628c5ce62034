// The reserve: a file whose blocks are lent to the log when the disk is full. LevelDB can neither
// write nor open without space, so without it a full disk would also stop Remove and compaction,
// which free space. Whoever filled the disk takes whatever is free, so the reserve is held until
// the log needs room, and lent in pieces. Space is low until it is whole again: what it made room
// for must not be spent on new snapshots.
import { randomFillSync } from 'node:crypto';
import { statfsSync, statSync, truncateSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import type { Logger, SpaceGuard } from '../../engine/ports.ts';

/** Size of the reserve unless configured. */
export const reserveSizeBytesDefault = 64 * 1024 * 1024;
/** Space is low when less than this share of the reserve's size is free besides. */
export const lowSpaceShare = 1 / 4;
/**
 * The share of the reserve that is lent at a time. Small, because whoever fills the disk may take
 * what is lent, and the reserve must outlast him.
 */
export const pieceShare = 1 / 64;
/** From here on down an opening makes sure first that nobody takes what it is lent. */
const restShare = 1 / 4;
/** What is lent as a trial: one block. */
const trialBytes = 4096;
/** How long a trial is there to be taken. */
const trialMs = 200;
/** Pieces for what LevelDB's merges write before they delete anything. */
export const mergePieceCount = 8;

const blockBytes = 1024 * 1024;

export interface ReserveOptions {
  readonly root: string;
  readonly logger: Logger;
  readonly sizeBytes?: number | undefined;
}

export class ReserveFile implements SpaceGuard {
  /** What is lent at a time. */
  readonly pieceBytes: number;
  readonly #root: string;
  readonly #path: string;
  readonly #logger: Logger;
  readonly #sizeBytes: number;
  readonly #lowBytes: number;
  #isLow = false;
  #isClosed = false;
  #lentCount = 0;
  /** Fewer bytes unused than this: what was lent last went to somebody else. */
  #unusedFloorBytes = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ReserveOptions) {
    this.#root = options.root;
    this.#path = join(options.root, 'reserve');
    this.#logger = options.logger;
    this.#sizeBytes = options.sizeBytes ?? reserveSizeBytesDefault;
    this.#lowBytes = Math.floor(this.#sizeBytes * lowSpaceShare);
    this.pieceBytes = Math.floor(this.#sizeBytes * pieceShare);
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  get #heldBytes(): number {
    return statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
  }

  get #missingBytes(): number {
    return Math.max(this.#sizeBytes - this.#heldBytes, 0);
  }

  /** Whether a write may find no room. Asked before each one, so it costs one call only. */
  get isShort(): boolean {
    const isShort = this.#look().freeBytes < this.#lowBytes;
    if (isShort) this.#isLow = true;
    return isShort;
  }

  // What is unused is more than anybody can have: file systems keep some of it for themselves, and
  // for root. How it changes tells what was taken.
  #look(): { readonly freeBytes: number; readonly unusedBytes: number } {
    const { bavail, bfree, bsize } = statfsSync(this.#root);
    return { freeBytes: bavail * bsize, unusedBytes: bfree * bsize };
  }

  /** Finds out whether space is low, without changing anything. */
  assess(): void {
    this.#isLow = this.#look().freeBytes < this.#missingBytes + this.#lowBytes;
  }

  /**
   * Lends that much, in whole pieces, or what is left; answers whether anything was lent.
   * Synchronous, because after a failed append nothing else happens before the process ends.
   */
  lend(neededBytes: number): boolean {
    const isLent = this.#lendBytes(Math.ceil(neededBytes / this.pieceBytes) * this.pieceBytes);
    if (isLent) this.#lentCount += 1;
    return isLent;
  }

  #lendBytes(lentBytes: number): boolean {
    this.#isLow = true;
    const heldBytes = this.#heldBytes;
    if (heldBytes === 0) return false;
    const leftBytes = Math.max(heldBytes - lentBytes, 0);
    const { unusedBytes } = this.#look();
    this.#unusedFloorBytes = unusedBytes + (heldBytes - leftBytes) / 2;
    try {
      if (leftBytes > 0) truncateSync(this.#path, leftBytes);
      else unlinkSync(this.#path);
      this.#logger.warn(
        { path: this.#path, lentBytes: heldBytes - leftBytes, leftBytes },
        'disk full: room is lent from the reserve',
      );
      return true;
    } catch (error) {
      this.#logger.error({ path: this.#path, err: error }, 'the reserve cannot be lent');
      return false;
    }
  }

  /**
   * Lends more for an opening that found no room, twice as much each time. False if what was lent
   * went to somebody else, who would take the next piece, too; and if nothing is left. Of the rest
   * one block goes ahead as a trial: a log that is opened again and again beside a writer would
   * give all of it away.
   */
  async lendForOpening(): Promise<boolean> {
    if (this.#isTaken()) return false;
    const isRest = this.#heldBytes <= this.#sizeBytes * restShare;
    if (isRest && !(await this.#isLeftAlone())) return false;
    return this.lend(this.pieceBytes * 2 ** this.#lentCount);
  }

  #isTaken(): boolean {
    return this.#look().unusedBytes < this.#unusedFloorBytes;
  }

  async #isLeftAlone(): Promise<boolean> {
    if (!this.#lendBytes(trialBytes)) return false;
    await rest(trialMs);
    return !this.#isTaken();
  }

  /** Lends what a merge takes. */
  lendForMerge(): void {
    this.lend(mergePieceCount * this.pieceBytes);
  }

  refresh(): Promise<void> {
    this.#running = this.#running.then(() => this.#refreshOnce());
    return this.#running;
  }

  async #refreshOnce(): Promise<void> {
    if (this.#isClosed) {
      return;
    }
    try {
      this.assess();
      if (!this.#isLow && this.#missingBytes > 0) {
        await this.#grow();
        this.#isLow = this.#missingBytes > 0;
      }
    } catch (error) {
      this.#isLow = true;
      this.#logger.warn({ err: error }, 'the reserve cannot be taken');
    }
  }

  // Written, not truncated to size: a sparse file would reserve nothing. Random bytes, because a
  // file system that compresses would not store zeros. Appended, so that there is no gap if a piece
  // is lent meanwhile; then the growing ends.
  async #grow(): Promise<void> {
    const lentCount = this.#lentCount;
    const heldBytes = this.#heldBytes;
    const block = randomFillSync(Buffer.alloc(Math.min(blockBytes, this.#sizeBytes)));
    const file = await open(this.#path, 'a', 0o600);
    try {
      while (this.#missingBytes > 0 && !this.#isClosed && lentCount === this.#lentCount) {
        await file.write(block, 0, Math.min(block.length, this.#missingBytes));
      }
      await file.sync();
    } catch (error) {
      // A part would keep the last free blocks from whoever needs them now.
      if (lentCount === this.#lentCount) await file.truncate(heldBytes);
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Ends a running growth; the reserve itself stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}
