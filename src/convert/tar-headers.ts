// Which files a tar archive holds, and where: its headers, one after the other, without what lies
// between them. How a header is read is the library's; how long one may be, and where the next one
// begins, is checked here.
import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { Header } from 'tar/header';
import { Pax } from 'tar/pax';
import { readRange } from './read-range.ts';
import { refuse } from './refusal.ts';

export interface TarFile {
  readonly path: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

const blockBytes = 512;
/** Headers that continue others hold names and numbers; a long one is there to do harm. */
const extensionBytesMax = 1 << 20;
const entryCountMax = 1_000_000;

const fileTypes = ['File', 'OldFile', 'ContiguousFile'];
/** Whatever size their header gives, nothing follows it. */
const emptyTypes = ['Link', 'SymbolicLink', 'CharacterDevice', 'BlockDevice', 'Directory', 'FIFO'];
const extensionTypes = ['ExtendedHeader', 'OldExtendedHeader'];
const longPathTypes = ['NextFileHasLongPath', 'OldGnuLongPath'];
const longLinkType = 'NextFileHasLongLinkpath';

/** The regular files of the archive. `place` names it in a refusal. */
export async function* readTarFiles(handle: FileHandle, place: string): AsyncIterable<TarFile> {
  const { size: archiveBytes } = await handle.stat();
  const read = (offset: number, sizeBytes: number): Promise<Buffer> =>
    wholeRange(handle, { offset, sizeBytes, place });
  let extended: Pax | undefined;
  let longPath: string | undefined;
  let global: Pax | undefined;
  for (let offset = 0, count = 0; offset < archiveBytes; count += 1) {
    if (count === entryCountMax) refuse(`${place} has more than ${entryCountMax} entries`);
    if (archiveBytes - offset < blockBytes) refuse(`${place} is cut off at byte ${archiveBytes}`);
    const header = new Header(await read(offset, blockBytes), 0, extended, global);
    // Two empty blocks end an archive, but one does, too, and so does the end of the file.
    if (header.nullBlock) return;
    checkHeader(header, offset, place);
    const begin = offset + blockBytes;
    const sizeBytes = contentSize(header);
    if (!Number.isSafeInteger(sizeBytes) || begin + sizeBytes > archiveBytes) {
      refuse(`${place} is cut off: less follows than the entry at byte ${offset} is long`);
    }
    offset = begin + Math.ceil(sizeBytes / blockBytes) * blockBytes;
    const isExtension = isContinued(header);
    if (isExtension && sizeBytes > extensionBytesMax) {
      refuse(`${place}: the extended header at byte ${begin} is longer than any that is needed`);
    }
    if (isExtension) {
      const content = await read(begin, sizeBytes);
      if (header.type === 'GlobalExtendedHeader') global = Pax.parse(text(content), global, true);
      if (extensionTypes.includes(header.type)) extended = Pax.parse(text(content), extended);
      if (longPathTypes.includes(header.type)) longPath = text(content).replace(/\0.*$/s, '');
      continue;
    }
    const path = cleanPath(longPath ?? header.path ?? '');
    extended = undefined;
    longPath = undefined;
    if (!fileTypes.includes(header.type)) continue;
    yield { path, offset: begin, sizeBytes };
  }
}

function checkHeader(header: Header, offset: number, place: string): void {
  if (header.cksumValid) return;
  refuse(
    offset === 0
      ? `${place} is not a tar archive`
      : `${place} is damaged: no header with a right checksum is at byte ${offset}`,
  );
}

const contentSize = (header: Header): number =>
  emptyTypes.includes(header.type) ? 0 : (header.size ?? 0);

const isContinued = ({ type }: Header): boolean =>
  type === 'GlobalExtendedHeader' ||
  type === longLinkType ||
  extensionTypes.includes(type) ||
  longPathTypes.includes(type);

const text = (content: Buffer): string => content.toString('utf8');

/** `./blobs/x` and `blobs/x` are one file. */
const cleanPath = (path: string): string => posix.normalize(`/${path}`).slice(1);

async function wholeRange(
  handle: FileHandle,
  range: { readonly offset: number; readonly sizeBytes: number; readonly place: string },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readRange(handle, range)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
