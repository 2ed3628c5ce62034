// Writes a layout as a tar archive: the same layout gives the same bytes, whenever and by whom it
// is written. Blobs are deleted once they are in it, so that the disk need not hold everything
// twice.
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Header } from 'tar/header';
import { Pax } from 'tar/pax';
import { hexOf } from './descriptor.ts';
import type { Layout } from './output.ts';

const blockBytes = 512;
const endBytes = 2 * blockBytes;

/** Writes the whole archive. */
export async function writeArchive(
  handle: FileHandle,
  { files, store, progress }: Layout,
): Promise<void> {
  for (const [path, content] of Object.entries(files).sort(byName)) {
    await handle.appendFile(headerOf(path, content.length));
    await handle.appendFile(padded(content));
  }
  for (const path of ['blobs/', 'blobs/sha256/']) await handle.appendFile(headerOf(path));
  const { blobs } = store;
  const totalBytes = blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  const advance = (moreBytes: number): void => progress((doneBytes += moreBytes), totalBytes);
  for (const { digest, sizeBytes } of blobs) {
    await handle.appendFile(headerOf(`blobs/sha256/${hexOf(digest)}`, sizeBytes));
    await handle.appendFile(contentOf(store.pathOf(digest), advance));
    await handle.appendFile(padding(sizeBytes));
    await store.remove(digest);
  }
  await handle.appendFile(Buffer.alloc(endBytes));
}

/** Tells of each piece that has been written when the next one is asked for. */
async function* contentOf(
  path: string,
  advance: (moreBytes: number) => void,
): AsyncIterable<Buffer> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    yield chunk as Buffer;
    advance((chunk as Buffer).length);
  }
}

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : 1;

/** The header of a file, or without a size that of a directory. */
function headerOf(path: string, sizeBytes?: number): Buffer {
  const fields = { path, mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };
  const own =
    sizeBytes === undefined
      ? { ...fields, type: 'Directory' as const, mode: 0o755, size: 0 }
      : { ...fields, type: 'File' as const, mode: 0o644, size: sizeBytes };
  const header = new Header(own);
  const needsMore = header.encode();
  const block = header.block ?? Buffer.alloc(0);
  if (!needsMore) return block;
  return Buffer.concat([new Pax({ path, size: own.size, mtime: own.mtime }).encode(), block]);
}

const padding = (sizeBytes: number): Buffer =>
  Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes);

const padded = (content: Buffer): Buffer => Buffer.concat([content, padding(content.length)]);
