// Where the image to convert comes from: an archive or a folder in the OCI image layout. Whoever
// reads a blob learns at its end whether it is the one that its digest promises.
import { stat } from 'node:fs/promises';
import { printable } from '../history/text.ts';
import { openArchive } from './archive-source.ts';
import { digestOfHash, newHash, type Descriptor, type Digest } from './descriptor.ts';
import { openFolder } from './folder-source.ts';
import { documentBytesMax } from './json-document.ts';
import { refuse } from './refusal.ts';

/** A stretch of bytes that can be read as often as one likes. */
export interface Stored {
  readonly sizeBytes: number;
  readonly read: () => AsyncIterable<Buffer>;
}

/** Files of a layout by their path in it. */
export interface Storage {
  /** Undefined if there is no such file. */
  readonly find: (path: string) => Promise<Stored | undefined>;
  readonly close: () => Promise<void>;
}

/** An OCI image layout, wherever it lies. */
export class ImageSource {
  readonly #storage: Storage;
  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** A file of the layout itself. */
  async topFile(name: string): Promise<Buffer | undefined> {
    const stored = await this.#storage.find(name);
    return stored === undefined ? undefined : readWhole(stored, name);
  }

  /** The blob, whose size is right; undefined if it is not in the layout. */
  async findBlob({ digest, sizeBytes }: Descriptor): Promise<Stored | undefined> {
    const stored = await this.#storage.find(`blobs/${digest.replace(':', '/')}`);
    if (stored !== undefined && stored.sizeBytes !== sizeBytes) {
      refuse(`blob ${digest} has ${stored.sizeBytes} bytes, and should have ${sizeBytes}`);
    }
    return stored;
  }

  /** A small blob, whole and checked. */
  async document(descriptor: Descriptor, place: string): Promise<Buffer | undefined> {
    const stored = await this.findBlob(descriptor);
    if (stored === undefined) return undefined;
    const chunks: Buffer[] = [];
    checkDocumentSize(stored.sizeBytes, place);
    for await (const chunk of checkedBlob(stored, descriptor.digest)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  close(): Promise<void> {
    return this.#storage.close();
  }
}

/** The bytes of a blob; a refusal at their end if they are not what the digest says. */
export async function* checkedBlob(stored: Stored, digest: Digest): AsyncIterable<Buffer> {
  const hash = newHash();
  for await (const chunk of stored.read()) {
    hash.update(chunk);
    yield chunk;
  }
  const found = digestOfHash(hash);
  if (found !== digest) refuse(`blob ${digest} is damaged: its content has the digest ${found}`);
}

async function readWhole(stored: Stored, place: string): Promise<Buffer> {
  checkDocumentSize(stored.sizeBytes, place);
  const chunks: Buffer[] = [];
  for await (const chunk of stored.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function checkDocumentSize(sizeBytes: number, place: string): void {
  if (sizeBytes <= documentBytesMax) return;
  refuse(
    `${place} has ${sizeBytes} bytes; documents of more than ${documentBytesMax} are not read`,
  );
}

/** Opens an archive or a folder; the caller closes it. */
export async function openSource(path: string): Promise<ImageSource> {
  const found = await stat(path).catch((error: unknown) =>
    refuse(`${printable(path)} cannot be read: ${(error as Error).message}`),
  );
  if (found.isDirectory()) return new ImageSource(openFolder(path));
  if (found.isFile()) return new ImageSource(await openArchive(path));
  return refuse(`${printable(path)} is neither a file nor a folder: save it into a file first`);
}
