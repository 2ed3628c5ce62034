// Keeps LevelDB's write-ahead log longer than what is in it, by zeros that are on disk already.
// Without them each append makes the file longer, so that each sync writes the file system's
// journal, too; over written zeros it writes the data alone, in about half the time.
//
// LevelDB writes at a position of its own, which is never beyond the end of the file, and takes
// zeros for the end when it reads the file. So zeros written from the end on can hit nothing, as
// long as LevelDB does not write meanwhile: whoever calls this sees to that. It is no more than a
// matter of speed: whatever fails here, the log goes on growing by itself.
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

export const roomBytes = 1024 * 1024;

/** After so many bytes it is time to look whether the log was replaced or is nearly full. */
const lookEveryBytes = 128 * 1024;

export class ZeroRoom {
  readonly #directory: string;
  #name: string | undefined;
  /** Where LevelDB is about to write, by our own count. */
  #positionBytes = 0;
  #endBytes = 0;
  #sinceLookBytes = lookEveryBytes;

  /** `directory` is LevelDB's. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** To be told of each write of about `sizeBytes`, before it. */
  count(sizeBytes: number): void {
    this.#positionBytes += sizeBytes;
    this.#sinceLookBytes += sizeBytes;
  }

  /** Makes room if there is little. LevelDB must not write until this resolves; never rejects. */
  async provide(): Promise<void> {
    if (this.#sinceLookBytes < lookEveryBytes) return;
    this.#sinceLookBytes = 0;
    try {
      const name = newestLog(await readdir(this.#directory));
      if (name !== undefined) await this.#extendIfShort(name);
    } catch {
      // No room on the disk, or a file that went away: the next look tries again.
    }
  }

  async #extendIfShort(name: string): Promise<void> {
    const isShort = this.#positionBytes + 2 * lookEveryBytes > this.#endBytes;
    if (name === this.#name && !isShort) return;
    const file = await open(join(this.#directory, name), 'r+');
    try {
      const { size } = await file.stat();
      // Longer than we made it: then its end is LevelDB's.
      if (name !== this.#name || size > this.#endBytes) this.#positionBytes = size;
      this.#name = name;
      this.#endBytes = await extend(file, size);
    } finally {
      await file.close();
    }
  }
}

/** Writes zeros from `size` on and makes them durable; answers the new end. */
async function extend(file: FileHandle, size: number): Promise<number> {
  await file.write(Buffer.alloc(roomBytes), 0, roomBytes, size);
  await file.datasync();
  return size + roomBytes;
}

const newestLog = (names: readonly string[]): string | undefined =>
  names
    .filter((name) => /^\d{6,}\.log$/.test(name))
    .sort((left, right) => parseInt(left, 10) - parseInt(right, 10))
    .at(-1);
