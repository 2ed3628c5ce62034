// CRC-32C (Castagnoli), with which LevelDB seals its records and blocks, and LevelDB's masking of
// it.

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  }
  table[byte] = value >>> 0;
}

/** Takes one byte into a running checksum, which begins as 0xffffffff and ends inverted. */
export function stepCrc32c(crc: number, byte: number): number {
  return (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
}

/** By a checksum's highest byte, what undoes the step that made it. */
const reverseTable = new Int32Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  const value = table[byte] as number;
  reverseTable[value >>> 24] = (value << 8) ^ byte;
}

/** Undoes a step over a zero byte. */
export function reverseStepCrc32c(crc: number): number {
  return (crc << 8) ^ (reverseTable[crc >>> 24] as number);
}

export function crc32c(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let index = start; index < end; index += 1) {
    crc = stepCrc32c(crc, bytes[index] as number);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * The checksum as LevelDB stores it: rotated and offset, so that a checksum of checksums stays
 * sound.
 */
export function maskCrc32c(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The checksum behind a stored one. */
export function unmaskCrc32c(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
