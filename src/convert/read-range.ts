// Reads a stretch of a file in pieces; one that ends early is an error, not a shorter stretch.
import type { FileHandle } from 'node:fs/promises';
import { refuse } from './refusal.ts';

const pieceBytes = 1 << 20;

export interface Range {
  readonly offset: number;
  readonly sizeBytes: number;
  /** What it is, for messages. */
  readonly place: string;
}

export async function* readRange(
  handle: FileHandle,
  { offset, sizeBytes, place }: Range,
): AsyncIterable<Buffer> {
  for (let done = 0; done < sizeBytes;) {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, sizeBytes - done));
    const { bytesRead } = await handle.read(piece, 0, piece.length, offset + done);
    if (bytesRead === 0) refuse(`${place} ends ${sizeBytes - done} bytes too early`);
    done += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}
