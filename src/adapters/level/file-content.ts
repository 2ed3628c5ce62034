// The content of the log's files as far as the disk gives it back. One bad sector must cost what
// lies in it and nothing else, so what cannot be read is zeros, which no checksum accepts.
import { open, type FileHandle } from 'node:fs/promises';

const chunkBytes = 1024 * 1024;
/** The page: what the kernel gives back or refuses as one. */
const pageBytes = 4096;

export interface FileContent {
  readonly content: Buffer;
  /** Whether every byte was read. */
  readonly isWhole: boolean;
}

/** Whether the disk could not give back what it holds. */
export function isReadError(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EIO';
}

export async function readFileContent(path: string): Promise<FileContent> {
  try {
    const file = await open(path, 'r');
    try {
      return await readAll(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isReadError(error)) throw error;
    return { content: Buffer.alloc(0), isWhole: false };
  }
}

async function readAll(file: FileHandle): Promise<FileContent> {
  const { size } = await file.stat();
  const content = Buffer.alloc(size);
  let isWhole = true;
  for (let from = 0; from < size; from += chunkBytes) {
    const to = Math.min(from + chunkBytes, size);
    if (await isRead(file, content.subarray(from, to), from)) continue;
    for (let page = from; page < to; page += pageBytes) {
      const part = content.subarray(page, Math.min(page + pageBytes, to));
      if (await isRead(file, part, page)) continue;
      part.fill(0);
      isWhole = false;
    }
  }
  return { content, isWhole };
}

async function isRead(file: FileHandle, part: Buffer, position: number): Promise<boolean> {
  try {
    for (let length = 0; length < part.length;) {
      const { bytesRead } = await file.read(part, length, part.length - length, position + length);
      // Cut off meanwhile: what is missing is missing.
      if (bytesRead === 0) return true;
      length += bytesRead;
    }
    return true;
  } catch (error) {
    if (!isReadError(error)) throw error;
    return false;
  }
}
