// Our own reader of LevelDB's log format (the .log files; a MANIFEST has the same framing): blocks
// of 32 KiB, in them records of masked CRC-32C, length, type (full, first, middle, last) and
// content. Zeros up to the end of the file are room allocated ahead (zero-room.ts). Unlike
// LevelDB's it says when it had to pass something over, and it deletes nothing.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, maskCrc32c } from './crc32c.ts';
import { readFileContent } from './file-content.ts';

const blockBytes = 32 * 1024;
const headerBytes = 7;
const recordType = { zero: 0, full: 1, first: 2, middle: 3, last: 4 } as const;

export interface LogRecords {
  readonly records: readonly Buffer[];
  /** Byte offsets at which physical records begin: where a file may be cut between records. */
  readonly boundaries: readonly number[];
  /**
   * False when anything was passed over: a bad checksum, a fragment without its rest, a torn end.
   */
  readonly isIntact: boolean;
}

/** Collects the fragments of records that span blocks. */
class Assembly {
  readonly records: Buffer[] = [];
  isIntact = true;
  #parts: Buffer[] | undefined;

  add(type: number, part: Buffer): void {
    const isContinuation = type === recordType.middle || type === recordType.last;
    if (isContinuation !== (this.#parts !== undefined)) {
      this.lose();
      if (isContinuation) {
        this.isIntact = false;
        return;
      }
    }
    const parts = this.#parts ?? [];
    parts.push(part);
    if (type === recordType.full || type === recordType.last) {
      this.records.push(parts.length === 1 ? part : Buffer.concat(parts));
      this.#parts = undefined;
    } else {
      this.#parts = parts;
    }
  }

  /** Drops a record whose rest will not come. */
  lose(): void {
    if (this.#parts !== undefined) {
      this.isIntact = false;
      this.#parts = undefined;
    }
  }

  fault(): void {
    this.isIntact = false;
    this.#parts = undefined;
  }
}

/** Where the zeros begin that reach to the end of the file. */
export function contentEndOf(file: Buffer): number {
  let end = file.length;
  while (end > 0 && file[end - 1] === 0) end -= 1;
  return end;
}

export function readLogRecords(file: Buffer): LogRecords {
  const assembly = new Assembly();
  const boundaries: number[] = [];
  const contentEnd = contentEndOf(file);
  for (let block = 0; block < contentEnd; block += blockBytes) {
    const end = Math.min(block + blockBytes, file.length);
    let offset = block;
    while (offset + headerBytes <= end && offset < contentEnd) {
      const length = file.readUInt16LE(offset + 4);
      const type = file.readUInt8(offset + 6);
      const next = offset + headerBytes + length;
      const isKnown = type >= recordType.full && type <= recordType.last;
      if (!isKnown || next > end) {
        assembly.fault();
        // The length cannot be trusted: a later record of this block may be found byte by byte.
        offset += 1;
        continue;
      }
      if (maskCrc32c(crc32c(file, offset + 6, next)) !== file.readUInt32LE(offset)) {
        assembly.fault();
        offset += 1;
        continue;
      }
      boundaries.push(offset);
      assembly.add(type, file.subarray(offset + headerBytes, next));
      offset = next;
    }
    // What is left of a full block is zeros; anything else, or a rest at the end of file, is torn.
    const isTorn = end < block + blockBytes && offset < contentEnd;
    if (isTorn || file.subarray(Math.min(offset, end), end).some((byte) => byte !== 0)) {
      assembly.fault();
    }
  }
  assembly.lose();
  return { records: assembly.records, boundaries, isIntact: assembly.isIntact };
}

/** Whether every .log file in these folders reads without anything passed over. */
export async function areLogsIntact(folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) {
    for (const name of await readdir(folder)) {
      if (!name.endsWith('.log')) continue;
      const { content, isWhole } = await readFileContent(join(folder, name));
      if (!isWhole || !readLogRecords(content).isIntact) return false;
    }
  }
  return true;
}
