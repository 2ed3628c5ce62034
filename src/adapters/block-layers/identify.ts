// Whether the files of an unpacked layer are one block layer: a folder that holds nothing but a
// regular file `overlaybd.commit` whose content, after tar headers, begins like a ZFile or an LSMT
// layer. An ordinary image may hold a file of that name, too.
import { constants } from 'node:fs';
import { open, readdir, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { EffectResult } from '../../engine/ports.ts';
import { failedAt } from './failure.ts';

/** The name that overlaybd's tools give to a finished layer in its archive. */
export const committedLayerName = 'overlaybd.commit';

// The first 24 bytes of each format: a word of its own and a UUID.
const magics = [
  '4c534d5400010200657e63d29444084ca2d2c8ec4fcfae8a',
  '5a46696c6500010074756a692e79796640416c6962616261',
].map((hex) => Buffer.from(hex, 'hex'));
const magicBytes = 24;

const tarBlockBytes = 512;
/** A wrapped layer has one header, or one more for its size; more than so many are none. */
const tarHeaderCountMax = 4;
const ustarMagic = { offset: 257, text: Buffer.from('ustar\0') };
const tarSize = { offset: 124, length: 12 };
const tarType = { offset: 156, extended: 'x', global: 'g' };
/** The records of an extended header; those of a layer tell its size. */
const extendedBytesMax = 64 * 1024;

/** Whether `folder` is such a layer; a failure if it cannot be read. */
export async function isBlockLayer(folder: string): Promise<EffectResult<boolean>> {
  const file = path.join(folder, committedLayerName);
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const [only, ...others] = entries;
    if (only?.name !== committedLayerName || !only.isFile() || others.length > 0) {
      return { ok: true, value: false };
    }
    // Between the look and the opening it may have become a link or a pipe.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const handle = await open(file, flags);
    try {
      const isRegular = (await handle.stat()).isFile();
      return { ok: true, value: isRegular && (await beginsLikeALayer(handle)) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    return failedAt('identify-layer', file, error);
  }
}

async function beginsLikeALayer(handle: FileHandle): Promise<boolean> {
  const block = Buffer.alloc(tarBlockBytes);
  let position = 0;
  for (let header = 0; header <= tarHeaderCountMax; header += 1) {
    const length = await readFully(handle, block, position);
    const start = block.subarray(0, magicBytes);
    if (length >= magicBytes && magics.some((magic) => magic.equals(start))) return true;
    const { offset, text } = ustarMagic;
    const isTarHeader =
      length === tarBlockBytes && block.subarray(offset, offset + text.length).equals(text);
    const extendedBytes = isTarHeader ? extendedBytesOf(block) : undefined;
    if (extendedBytes === undefined) return false;
    position += tarBlockBytes + extendedBytes;
  }
  return false;
}

/** How much of an archive belongs to a header that is about the next one; undefined: too much. */
function extendedBytesOf(header: Buffer): number | undefined {
  const type = header.toString('latin1', tarType.offset, tarType.offset + 1);
  if (type !== tarType.extended && type !== tarType.global) return 0;
  const { offset, length } = tarSize;
  const octal = /^ *([0-7]+)[ \0]*$/.exec(header.toString('latin1', offset, offset + length))?.[1];
  const sizeBytes = octal === undefined ? Infinity : parseInt(octal, 8);
  if (sizeBytes > extendedBytesMax) return undefined;
  return Math.ceil(sizeBytes / tarBlockBytes) * tarBlockBytes;
}

async function readFully(handle: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let length = 0;
  while (length < buffer.length) {
    const left = buffer.length - length;
    const { bytesRead } = await handle.read(buffer, length, left, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
