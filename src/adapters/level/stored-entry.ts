// What salvage finds in LevelDB's files: puts of keys and values. Only values whose own checksum
// holds are taken, so it does not matter how damaged the surroundings are. Deletions are passed
// over: what was deleted on purpose lies below the horizon and is known by that.
import { parseKey } from './keys.ts';
import { unseal } from './sealed-value.ts';

export interface StoredEntry {
  readonly key: string;
  readonly value: string;
}

/** The entry, if it is one of ours and unaltered. */
export function soundEntry(keyBytes: Buffer, valueBytes: Buffer): StoredEntry | undefined {
  const key = keyBytes.toString('utf8');
  if (parseKey(key) === undefined) {
    return undefined;
  }
  const value = valueBytes.toString('utf8');
  return unseal(key, value) === undefined ? undefined : { key, value };
}

/** Reads variable-length numbers and byte strings; `isPast` once it ran over the end. */
export class ByteReader {
  readonly #bytes: Buffer;
  #position: number;
  #isPast = false;

  constructor(bytes: Buffer, position = 0) {
    this.#bytes = bytes;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get isPast(): boolean {
    return this.#isPast;
  }

  get hasMore(): boolean {
    return !this.#isPast && this.#position < this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.#position];
    this.#position += 1;
    this.#isPast ||= value === undefined;
    return value ?? 0;
  }

  number(): number {
    let result = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = this.byte();
      result += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        return result;
      }
    }
    this.#isPast = true;
    return 0;
  }

  bytes(length: number): Buffer {
    const end = this.#position + length;
    if (end > this.#bytes.length) {
      this.#isPast = true;
      return Buffer.alloc(0);
    }
    const part = this.#bytes.subarray(this.#position, end);
    this.#position = end;
    return part;
  }
}

const sequenceAndCountBytes = 12;
const putTag = 1;
const deletionTag = 0;

/** The entries of one record of a write-ahead log (LevelDB's write batch). */
export function* batchEntries(record: Buffer): Generator<StoredEntry> {
  const reader = new ByteReader(record, sequenceAndCountBytes);
  while (reader.hasMore) {
    const tag = reader.byte();
    if (tag !== putTag && tag !== deletionTag) {
      return;
    }
    const key = reader.bytes(reader.number());
    if (tag === deletionTag) {
      continue;
    }
    const value = reader.bytes(reader.number());
    const entry = reader.isPast ? undefined : soundEntry(key, value);
    if (entry !== undefined) {
      yield entry;
    }
  }
}
