// An OCI image layout in a folder. Builders make such folders of symbolic links, too, so these are
// followed: what is read is checked by its digest.
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../history/text.ts';
import { readRange } from './read-range.ts';
import { refuse } from './refusal.ts';
import type { Storage, Stored } from './source.ts';

export function openFolder(folder: string): Storage {
  return { find: (path) => findFile(join(folder, path)), close: async () => undefined };
}

async function findFile(path: string): Promise<Stored | undefined> {
  const handle = await openFile(path);
  if (handle === undefined) return undefined;
  try {
    const found = await handle.stat();
    if (!found.isFile()) refuse(`${printable(path)} is not a file`);
    return { sizeBytes: found.size, read: () => readFile(path, found.size) };
  } finally {
    await handle.close();
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    // Nobody may write into the pipe that lies where a file is expected.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    return refuse(`${printable(path)} cannot be read: ${message}`);
  }
}

async function* readFile(path: string, sizeBytes: number): AsyncIterable<Buffer> {
  const handle = await openFile(path);
  if (handle === undefined) return refuse(`${printable(path)} has gone`);
  try {
    yield* readRange(handle, { offset: 0, sizeBytes, place: printable(path) });
  } finally {
    await handle.close();
  }
}
