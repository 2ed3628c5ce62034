// Finds the blocks of a table whose index is damaged. A block ends where its type and its checksum
// follow what went before. To try each end for each beginning would be quadratic; but the checksum
// is linear, so both can be turned back to one common place in the file and compared there: an end
// belongs to the beginning with the same value. One pass, whatever the file holds.
import { reverseStepCrc32c, unmaskCrc32c } from './crc32c.ts';

const trailerBytes = 5;
const typeMax = 1;
const initial = -1;

/**
 * How long a block may be: where the last one ended, and elsewhere, where every beginning in reach
 * may match by chance.
 */
const blockBytesMax = { atEndOfLast: 4 * 1024 * 1024, elsewhere: 16 * 1024 };

export interface BlockPlace {
  readonly offset: number;
  readonly length: number;
}

/** Steps checksums back to the beginning of the file. */
class Reversal {
  /** What each bit of a checksum becomes, from the place reached. */
  readonly #bits = Int32Array.from({ length: 32 }, (_, bit) => 1 << bit);
  #initial = initial;

  /** What a checksum begins with, turned back. */
  get initial(): number {
    return this.#initial;
  }

  turnedBack(checksum: number): number {
    let result = 0;
    for (let rest = checksum; rest !== 0; rest &= rest - 1) {
      result ^= this.#bits[31 - Math.clz32(rest & -rest)] as number;
    }
    return result;
  }

  /** On to the next byte. */
  step(): void {
    const bits = this.#bits;
    for (let bit = 0; bit < 32; bit += 1) bits[bit] = reverseStepCrc32c(bits[bit] as number);
    this.#initial = reverseStepCrc32c(this.#initial);
  }
}

/** The newest beginning for each value; numbers only, since there is one for each byte. */
class Beginnings {
  readonly #values: Int32Array;
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(count: number) {
    this.#values = new Int32Array(count);
    const slotCount = 2 ** Math.ceil(Math.log2(2 * count + 2));
    this.#slots = new Int32Array(slotCount).fill(-1);
    this.#mask = slotCount - 1;
  }

  #slotOf(value: number): number {
    let slot = Math.imul(value, 0x9e3779b1) & this.#mask;
    for (;;) {
      const offset = this.#slots[slot] as number;
      if (offset < 0 || this.#values[offset] === value) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  add(offset: number, value: number): void {
    this.#values[offset] = value;
    this.#slots[this.#slotOf(value)] = offset;
  }

  valueAt(offset: number): number {
    return this.#values[offset] as number;
  }

  /** The newest offset with this value; -1 if there is none. */
  find(value: number): number {
    return this.#slots[this.#slotOf(value)] as number;
  }
}

/** The blocks of a table whose checksums hold, in order, none reaching into another. */
export function* searchBlocks(file: Buffer): Generator<BlockPlace> {
  const reversal = new Reversal();
  const beginnings = new Beginnings(Math.max(file.length, 1));
  let sum = 0;
  let nextOffset = 0;
  for (let end = 0; end + trailerBytes <= file.length; end += 1) {
    const type = file[end] as number;
    beginnings.add(end, sum ^ reversal.initial);
    sum ^= reversal.turnedBack(type);
    reversal.step();
    if (type > typeMax) continue;
    const wanted = ~unmaskCrc32c(file.readUInt32LE(end + 1));
    const value = sum ^ reversal.turnedBack(wanted);
    const isNext = end - nextOffset <= blockBytesMax.atEndOfLast;
    const offset =
      isNext && beginnings.valueAt(nextOffset) === value ? nextOffset : beginnings.find(value);
    const isNear = offset === nextOffset || end - offset <= blockBytesMax.elsewhere;
    if (offset >= nextOffset && offset < end && isNear) {
      yield { offset, length: end - offset };
      nextOffset = end + trailerBytes;
    }
  }
}
