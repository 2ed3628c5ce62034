// Keeps LevelDB's write-ahead log longer than what is in it, by zeros that are on disk already.
// Without them each append makes the file longer, so each sync writes the file system's journal
// too; over written zeros it writes the data alone, in about half the time.
//
// LevelDB's own readers pass zeros over as the end (its format allows for files that are allocated
// ahead), and so does ours. Zeros are only ever written beyond the end of the file, and never while
// an append runs, so nothing that LevelDB wrote can be hit. It is no more than a matter of speed:
// whatever fails here, the log goes on growing by itself.
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

export const extensionBytes = 1024 * 1024;

/** After so many bytes appended it is time to look whether the log was replaced or is filled up. */
const lookEveryBytes = 256 * 1024;

export class LogExtension {
  readonly #directory: string;
  #name: string | undefined;
  /** Where LevelDB is about to write, by our own count. */
  #position = 0;
  #endPosition = 0;
  #sinceLookBytes = lookEveryBytes;

  /** `directory` is LevelDB's. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** To be awaited before each append of about `sizeBytes`. Never rejects. */
  async beforeAppend(sizeBytes: number): Promise<void> {
    this.#position += sizeBytes;
    this.#sinceLookBytes += sizeBytes;
    if (this.#sinceLookBytes < lookEveryBytes) return;
    this.#sinceLookBytes = 0;
    try {
      await this.#extendIfShort(await this.#newestLog());
    } catch {
      // No room, or a file that went away: the next look tries again.
    }
  }

  async #newestLog(): Promise<string | undefined> {
    const names = await readdir(this.#directory);
    return names
      .filter((name) => /^\d{6,}\.log$/.test(name))
      .sort(byNumber)
      .at(-1);
  }

  async #extendIfShort(name: string | undefined): Promise<void> {
    if (name === undefined) return;
    const isShort = this.#position + 2 * lookEveryBytes > this.#endPosition;
    if (name === this.#name && !isShort) return;
    const file = await open(join(this.#directory, name), 'r+');
    try {
      const { size } = await file.stat();
      if (name !== this.#name) this.#position = size;
      this.#name = name;
      this.#endPosition = await extend(file, size);
    } finally {
      await file.close();
    }
  }
}

/** Writes zeros from `size` on and makes them durable; answers the new end. */
async function extend(file: FileHandle, size: number): Promise<number> {
  await file.write(Buffer.alloc(extensionBytes), 0, extensionBytes, size);
  await file.datasync();
  return size + extensionBytes;
}

const byNumber = (left: string, right: string): number => parseInt(left, 10) - parseInt(right, 10);
