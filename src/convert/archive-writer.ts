// Writes a layout as a tar archive: the same layout gives the same bytes, whenever and by whom it
// is written. Blobs are deleted once they are in it, so that the disk need not hold everything
// twice.
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Header } from 'tar/header';
import { Pax } from 'tar/pax';
import type { BlobStore } from './blob-store.ts';
import { hexOf } from './descriptor.ts';
import type { TopFiles } from './output.ts';

const blockBytes = 512;
const endBytes = 2 * blockBytes;

/** Writes the whole archive. */
export async function writeArchive(
  handle: FileHandle,
  files: TopFiles,
  store: BlobStore,
): Promise<void> {
  for (const [path, content] of Object.entries(files).sort(byName)) {
    await handle.appendFile(headerOf(path, content.length));
    await handle.appendFile(padded(content));
  }
  for (const path of ['blobs/', 'blobs/sha256/']) await handle.appendFile(headerOf(path));
  for (const { digest, sizeBytes } of store.blobs) {
    await handle.appendFile(headerOf(`blobs/sha256/${hexOf(digest)}`, sizeBytes));
    const content = createReadStream(store.pathOf(digest), { highWaterMark: 1 << 20 });
    await handle.appendFile(content);
    await handle.appendFile(padding(sizeBytes));
    await store.remove(digest);
  }
  await handle.appendFile(Buffer.alloc(endBytes));
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
