// Our own reader of LevelDB's tables (.ldb), for salvage. It reads what the index names and, where
// index
// or footer are damaged, finds blocks by trying: a block ends where type and checksum match what
// went
// before. Entries of a damaged block are tried as well; their own checksums decide.
import { searchBlocks } from './block-search.ts';
import { crc32c, maskCrc32c } from './crc32c.ts';
import { decompressSnappy } from './snappy.ts';
import { ByteReader, soundEntry, type StoredEntry } from './stored-entry.ts';

const footerBytes = 48;
const trailerBytes = 5;
const internalSuffixBytes = 8;
const magic = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
const compressions = { none: 0, snappy: 1 } as const;
interface Handle {
  readonly offset: number;
  readonly length: number;
}

function readHandle(reader: ByteReader): Handle {
  return { offset: reader.number(), length: reader.number() };
}

function isSound(file: Buffer, { offset, length }: Handle): boolean {
  const end = offset + length;
  return (
    end + trailerBytes <= file.length &&
    maskCrc32c(crc32c(file, offset, end + 1)) === file.readUInt32LE(end + 1)
  );
}

/** The block's content in each reading that its type byte, damaged or not, allows. */
function contents(file: Buffer, handle: Handle): Buffer[] {
  const { offset, length } = handle;
  const raw = file.subarray(offset, offset + length);
  if (isSound(file, handle)) {
    return file[offset + length] === compressions.snappy ? [decompressSnappy(raw)] : [raw];
  }
  return [decompressSnappy(raw), raw];
}

/** Restart offsets: places where an entry's key is whole. */
function restarts(block: Buffer): number[] {
  const count = block.length >= 4 ? block.readUInt32LE(block.length - 4) : 0;
  const start = block.length - 4 - 4 * count;
  const offsets: number[] = [0];
  for (let index = 0; start > 0 && index < count; index += 1) {
    const offset = block.readUInt32LE(start + 4 * index);
    if (offset > 0 && offset < start) {
      offsets.push(offset);
    }
  }
  return offsets;
}

type RawEntry = readonly [key: Buffer, value: Buffer];

/** Where the entries of a block end and its restart offsets begin. */
function entriesEnd(block: Buffer): number {
  const restartCount = block.length >= 4 ? block.readUInt32LE(block.length - 4) : 0;
  return block.length - 4 - 4 * restartCount;
}

/**
 * Entries from each restart to the next, so that damage in one run does not hide the following. In
 * a damaged block nobody knows where they end, so all of it is tried.
 */
function* rawEntries(block: Buffer, blockEnd = block.length): Generator<RawEntry> {
  const offsets = restarts(block);
  for (const [index, offset] of offsets.entries()) {
    const end = offsets[index + 1] ?? blockEnd;
    const reader = new ByteReader(block, offset);
    let key: Buffer = Buffer.alloc(0);
    while (reader.position < end && !reader.isPast) {
      const shared = reader.number();
      const unsharedLength = reader.number();
      const valueLength = reader.number();
      if (shared > key.length) {
        break;
      }
      key = Buffer.concat([key.subarray(0, shared), reader.bytes(unsharedLength)]);
      const value = reader.bytes(valueLength);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- reading moves it
      if (!reader.isPast) yield [key, value];
    }
  }
}

function handlesFromIndex(file: Buffer): Handle[] | undefined {
  const footer = file.subarray(Math.max(file.length - footerBytes, 0));
  if (footer.length < footerBytes || magic.some((byte, index) => footer[40 + index] !== byte)) {
    return undefined;
  }
  const reader = new ByteReader(footer);
  readHandle(reader);
  const index = readHandle(reader);
  if (!isSound(file, index)) {
    return undefined;
  }
  const handles: Handle[] = [];
  for (const block of contents(file, index)) {
    for (const [, value] of rawEntries(block, entriesEnd(block))) {
      handles.push(readHandle(new ByteReader(value)));
    }
  }
  return handles;
}

/** The blocks that can be found, and what lies between them. */
function* handlesBySearch(file: Buffer): Generator<Handle> {
  let lostFrom = 0;
  for (const { offset, length } of searchBlocks(file)) {
    if (offset > lostFrom) {
      yield { offset: lostFrom, length: Math.max(offset - lostFrom - trailerBytes, 0) };
    }
    yield { offset, length };
    lostFrom = offset + length + trailerBytes;
  }
  if (lostFrom < file.length) {
    yield { offset: lostFrom, length: file.length - lostFrom };
  }
}

/** The keys as LevelDB goes through them; ends, as it does, where an entry does not decode. */
function* keysInOrder(block: Buffer): Generator<Buffer> {
  const end = entriesEnd(block);
  const reader = new ByteReader(block);
  let key: Buffer = Buffer.alloc(0);
  while (reader.position < end) {
    const shared = reader.number();
    const unsharedLength = reader.number();
    const valueLength = reader.number();
    const unshared = reader.bytes(unsharedLength);
    reader.bytes(valueLength);
    if (shared > key.length || reader.isPast) {
      return;
    }
    key = Buffer.concat([key.subarray(0, shared), unshared]);
    yield key;
  }
}

/** LevelDB's order: by key, and the newer entry of one key first. */
function isAfter(key: Buffer, previous: Buffer): boolean {
  const at = key.length - internalSuffixBytes;
  const previousAt = previous.length - internalSuffixBytes;
  const order = Buffer.compare(key.subarray(0, at), previous.subarray(0, previousAt));
  return (
    order > 0 || (order === 0 && key.readBigUInt64LE(at) < previous.readBigUInt64LE(previousAt))
  );
}

function areOrdered(blocks: Iterable<Buffer>): boolean {
  let previous: Buffer | undefined;
  for (const block of blocks) {
    for (const key of keysInOrder(block)) {
      const isLong = key.length >= internalSuffixBytes;
      if (!isLong || (previous !== undefined && !isAfter(key, previous))) {
        return false;
      }
      previous = key;
    }
  }
  return true;
}

function* blocksAsStored(file: Buffer, handles: Iterable<Handle>): Generator<Buffer> {
  for (const handle of handles) {
    const { offset, length } = handle;
    if (offset + length + trailerBytes <= file.length) {
      const raw = file.subarray(offset, offset + length);
      yield file[offset + length] === compressions.snappy ? decompressSnappy(raw) : raw;
    }
  }
}

/**
 * Whether LevelDB would end the process over this table. It checks no block's checksum when it
 * merges
 * tables, and asserts that keys are long enough and in order: a flipped bit in a key is an abort.
 */
export function wouldAbort(file: Buffer): boolean {
  const footer = file.subarray(Math.max(file.length - footerBytes, 0));
  if (footer.length < footerBytes || magic.some((byte, index) => footer[40 + index] !== byte)) {
    return false;
  }
  const reader = new ByteReader(footer);
  readHandle(reader);
  const index = readHandle(reader);
  const [indexBlock] = blocksAsStored(file, [index]);
  if (indexBlock === undefined) {
    return false;
  }
  const handles: Handle[] = [];
  for (const [, value] of rawEntries(indexBlock, entriesEnd(indexBlock))) {
    handles.push(readHandle(new ByteReader(value)));
  }
  if (isSound(file, index) && handles.every((handle) => isSound(file, handle))) {
    return false;
  }
  return !areOrdered([indexBlock]) || !areOrdered(blocksAsStored(file, handles));
}

/** Whether a table was written to its end: the footer comes last. */
export function isFinishedTable(file: Buffer): boolean {
  const footer = file.subarray(Math.max(file.length - footerBytes, 0));
  return footer.length === footerBytes && magic.every((byte, index) => footer[40 + index] === byte);
}

/** Whether every block of a table holds, the index included. */
export function isIntactTable(file: Buffer): boolean {
  return handlesFromIndex(file)?.every((handle) => isSound(file, handle)) === true;
}

/** All sound entries of a table; of a key that was written again, the newest, which comes first. */
export function* tableEntries(file: Buffer): Generator<StoredEntry> {
  let lastKey = '';
  for (const handle of handlesFromIndex(file) ?? handlesBySearch(file)) {
    for (const block of contents(file, handle)) {
      for (const [internalKey, value] of rawEntries(block)) {
        const keyLength = internalKey.length - internalSuffixBytes;
        const isPut = keyLength > 0 && internalKey[keyLength] === 1;
        const entry = isPut ? soundEntry(internalKey.subarray(0, keyLength), value) : undefined;
        if (entry !== undefined && entry.key !== lastKey) {
          lastKey = entry.key;
          yield entry;
        }
      }
    }
  }
}
