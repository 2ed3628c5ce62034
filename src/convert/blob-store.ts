// The blobs of the converted image, by digest, in a folder that is laid out as an image layout.
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfBytes, digestOfHash, hexOf, newHash, type Digest } from './descriptor.ts';
import type { StepListener } from './progress.ts';

export interface Blob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export class BlobStore {
  readonly #folder: string;
  readonly #blobs = new Map<Digest, Blob>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the store in the folder of a layout. */
  static async in(layoutFolder: string): Promise<BlobStore> {
    const folder = join(layoutFolder, 'blobs', 'sha256');
    await mkdir(folder, { recursive: true });
    return new BlobStore(folder);
  }

  /** All blobs, in the order of their digests. */
  get blobs(): readonly Blob[] {
    return [...this.#blobs.values()].sort((one, other) => (one.digest < other.digest ? -1 : 1));
  }

  pathOf(digest: Digest): string {
    return join(this.#folder, hexOf(digest));
  }

  /** Adds a document. */
  async addBytes(bytes: Uint8Array): Promise<Blob> {
    const blob = { digest: digestOfBytes(bytes), sizeBytes: bytes.length };
    await writeFile(this.pathOf(blob.digest), bytes);
    this.#blobs.set(blob.digest, blob);
    return blob;
  }

  /** Takes a file, which lies on the same file system, away to here. */
  async takeFile(path: string, progress: StepListener): Promise<Blob> {
    const hash = newHash();
    const { size: sizeBytes } = await stat(path);
    let readBytes = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
      readBytes += (chunk as Buffer).length;
      progress(readBytes, sizeBytes);
    }
    const blob = { digest: digestOfHash(hash), sizeBytes };
    await rename(path, this.pathOf(blob.digest));
    this.#blobs.set(blob.digest, blob);
    return blob;
  }

  /** Deletes a blob that is not needed any more. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest));
  }

  /** Waits until all of them are on the disk. */
  async sync(): Promise<void> {
    for (const { digest } of this.blobs) await syncPath(this.pathOf(digest));
    await syncPath(this.#folder);
    await syncPath(join(this.#folder, '..'));
  }
}

/** Waits until a file, or the names in a folder, are on the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
