// The reserve: a preallocated file that is given up when the disk is full. LevelDB can neither
// write nor open without space, so without it a full disk would also stop Remove and compaction,
// which free space. Space is low from the moment the reserve is given up until it is back: what it
// made room for must not be spent on new snapshots.
import { randomFillSync } from 'node:crypto';
import { statSync, unlinkSync } from 'node:fs';
import { open, rename, statfs as statFileSystem, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger, SpaceGuard } from '../../engine/ports.ts';

/** Size of the reserve unless configured. */
export const reserveSizeBytesDefault = 64 * 1024 * 1024;
/** The reserve is given up when less than this share of its size is free besides. */
export const lowSpaceShare = 1 / 4;

const blockBytes = 1024 * 1024;

export type StatFileSystem = (path: string) => Promise<{ bavail: number; bsize: number }>;

export interface ReserveOptions {
  readonly root: string;
  readonly logger: Logger;
  readonly sizeBytes?: number | undefined;
  readonly statfs?: StatFileSystem | undefined;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

export class ReserveFile implements SpaceGuard {
  readonly #path: string;
  readonly #logger: Logger;
  readonly #sizeBytes: number;
  readonly #lowBytes: number;
  readonly #statfs: StatFileSystem;
  #isLow = false;
  #isClosed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ReserveOptions) {
    this.#path = join(options.root, 'reserve');
    this.#logger = options.logger;
    this.#sizeBytes = options.sizeBytes ?? reserveSizeBytesDefault;
    this.#lowBytes = Math.floor(this.#sizeBytes * lowSpaceShare);
    this.#statfs = options.statfs ?? statFileSystem;
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  get #isHeld(): boolean {
    return sizeOf(this.#path) === this.#sizeBytes;
  }

  async #freeBytes(): Promise<number> {
    const { bavail, bsize } = await this.#statfs(dirname(this.#path));
    return bavail * bsize;
  }

  /** Gives the reserve up when the disk is full, so that the database can open at all. */
  async beforeOpen(): Promise<void> {
    const freeBytes = await this.#freeBytes();
    if (freeBytes < this.#lowBytes) {
      this.release();
    } else if (!this.#isHeld && freeBytes < this.#sizeBytes + this.#lowBytes) {
      this.#isLow = true;
    }
  }

  /** Synchronous, for the moment of a failed append: what follows is the end of the process. */
  release(): void {
    this.#isLow = true;
    for (const path of [this.#path, this.#path + '.new']) {
      try {
        unlinkSync(path);
        this.#logger.warn({ path }, 'disk full: the reserve was given up');
      } catch (error) {
        // Already gone is the goal; anything else leaves the reserve as it is, and space stays low.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          this.#logger.error({ path, err: error }, 'the reserve cannot be given up');
        }
      }
    }
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
      const freeBytes = await this.#freeBytes();
      if (this.#isHeld) {
        if (freeBytes < this.#lowBytes) {
          this.release();
        } else {
          this.#isLow = false;
        }
      } else if (freeBytes < this.#sizeBytes + this.#lowBytes) {
        this.#isLow = true;
      } else {
        await this.#allocate();
        this.#isLow = !this.#isHeld;
      }
    } catch (error) {
      this.#isLow = true;
      this.#logger.warn({ err: error }, 'the reserve cannot be taken');
    }
  }

  // Written, not truncated to size: a sparse file would reserve nothing. Random bytes, because a
  // file system that compresses would not store zeros.
  async #allocate(): Promise<void> {
    const temporary = this.#path + '.new';
    const block = randomFillSync(Buffer.alloc(Math.min(blockBytes, this.#sizeBytes)));
    const file = await open(temporary, 'w', 0o600);
    try {
      for (let written = 0; written < this.#sizeBytes && !this.#isClosed;) {
        const length = Math.min(block.length, this.#sizeBytes - written);
        written += (await file.write(block, 0, length)).bytesWritten;
      }
      await file.sync();
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
    if (this.#isClosed) {
      await unlink(temporary).catch(() => undefined);
      return;
    }
    await rename(temporary, this.#path);
  }

  /** Ends a running allocation; the reserve itself stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}
