// Snappy's block format, decompression only: LevelDB's tables are compressed with it. For salvage:
// a damaged block is decoded as far as it goes, since every value in it has a checksum of its own.

/** The decompressed bytes; of a damaged block those before the first impossible instruction. */
export function decompressSnappy(input: Buffer): Buffer {
  let position = 0;
  const readByte = (): number => input[position++] ?? 0;
  let lengthBytes = 0;
  for (let shift = 0; shift < 32 && position < input.length; shift += 7) {
    const byte = readByte();
    lengthBytes += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      break;
    }
  }
  // No instruction yields more than 64 bytes for each of its own two: a larger length is damage.
  const output = Buffer.alloc(Math.min(lengthBytes, input.length * 32 + 64));
  let written = 0;
  while (position < input.length && written < output.length) {
    const tag = readByte();
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >>> 2;
      const extraBytes = short < 60 ? 0 : short - 59;
      const length = 1 + (extraBytes === 0 ? short : readNumber(input, position, extraBytes));
      position += extraBytes;
      if (position + length > input.length || written + length > output.length) {
        break;
      }
      input.copy(output, written, position, position + length);
      position += length;
      written += length;
      continue;
    }
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const offset =
      kind === 1
        ? ((tag >>> 5) << 8) | readByte()
        : readNumber(input, position, kind === 2 ? 2 : 4);
    position += kind === 1 ? 0 : kind === 2 ? 2 : 4;
    if (offset === 0 || offset > written || written + length > output.length) {
      break;
    }
    // Byte by byte: a copy may overlap what it writes.
    for (let index = 0; index < length; index += 1, written += 1) {
      output[written] = output[written - offset] as number;
    }
  }
  return output.subarray(0, written);
}

function readNumber(input: Buffer, position: number, byteCount: number): number {
  return position + byteCount <= input.length ? input.readUIntLE(position, byteCount) : 2 ** 40;
}
