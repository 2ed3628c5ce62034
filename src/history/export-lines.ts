// Splits a history file into lines of strict UTF-8 JSON, with a limit, and hashes what it passes
// on.
import { createHash } from 'node:crypto';
import { isJsonObject } from './shapes.ts';

/** The longest line that is read: room for one event with as many labels as gRPC can carry. */
export const lineBytesMax = 16 * 1024 * 1024;

/** Thrown for a file that is no whole, valid history; the message says where and why. */
export class HistoryFileError extends Error {
  override readonly name = 'HistoryFileError';
  /** undefined: it is not about one line. */
  readonly line: number | undefined;
  constructor(line: number | undefined, reason: string) {
    super(line === undefined ? reason : `line ${line}: ${reason}`);
    this.line = line;
  }
}

/** Thrown where the file ends too early; what came before may still be of use. */
export class FileCutShort extends HistoryFileError {}

/** One line of the file. `hashBefore` is the sha256 of every byte before it. */
export interface FileLine {
  readonly number: number;
  readonly value: Readonly<Record<string, unknown>>;
  readonly hashBefore: () => string;
}

/** The lines of a file given in pieces. */
export async function* fileLines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<FileLine> {
  const hash = createHash('sha256');
  let pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  let number = 1;
  for await (const chunk of chunks) {
    let rest = chunk;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      const bytes = Buffer.concat([...pieces, rest.subarray(0, end + 1)]);
      yield parsed(bytes, number, () => hash.copy().digest('hex'));
      hash.update(bytes);
      rest = rest.subarray(end + 1);
      pieces = [];
      sizeBytes = 0;
      number += 1;
    }
    if (rest.length > 0) pieces.push(rest);
    sizeBytes += rest.length;
    if (sizeBytes > lineBytesMax) {
      throw new HistoryFileError(number, `longer than ${lineBytesMax} bytes`);
    }
  }
  if (sizeBytes > 0) throw new FileCutShort(number, 'the file ends within this line');
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parsed(bytes: Uint8Array, number: number, hashBefore: () => string): FileLine {
  if (bytes.length > lineBytesMax) {
    throw new HistoryFileError(number, `longer than ${lineBytesMax} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    throw new HistoryFileError(number, 'not valid JSON');
  }
  if (!isJsonObject(value)) throw new HistoryFileError(number, 'not a JSON object');
  return { number, value, hashBefore };
}
