// The keys of the log's database. Stored; a key's shape is never changed within a format version.
//   e!<seq>                 an event
//   s!<stream>!<revision>   the position of a stream's event
//   b!<last seq>            the record of one appended batch
//   c!<seq>, c!<seq>!<n>    a checkpoint's head and its chunks
//   m!format, m!horizon     the format version; how far history was compacted
//   m!losses                what repairs could not save
// Numbers have 16 digits, so that the order of keys is the order of positions.

/** Version of keys and values. Stored. */
export const formatVersion = 1;

export const formatKey = 'm!format';
export const horizonKey = 'm!horizon';
export const lossesKey = 'm!losses';

/** A position or revision as it stands in keys. */
export function digits(value: number): string {
  return String(value).padStart(16, '0');
}

export function eventKey(globalSeq: number): string {
  return 'e!' + digits(globalSeq);
}

export function streamPrefix(stream: string): string {
  return 's!' + stream + '!';
}

export function indexKey(stream: string, revision: number): string {
  return 's!' + stream + '!' + digits(revision);
}

export function batchKey(lastSeq: number): string {
  return 'b!' + digits(lastSeq);
}

export function checkpointKey(globalSeq: number): string {
  return 'c!' + digits(globalSeq);
}

export function chunkKey(globalSeq: number, chunk: number): string {
  return 'c!' + digits(globalSeq) + '!' + String(chunk).padStart(6, '0');
}

/** What one key stands for; undefined for a key that is none of ours (a damaged one). */
export type ParsedKey =
  | { readonly kind: 'event' | 'batch' | 'checkpoint'; readonly seq: number }
  | { readonly kind: 'chunk'; readonly seq: number; readonly chunk: number }
  | { readonly kind: 'index'; readonly stream: string; readonly revision: number }
  | { readonly kind: 'meta' };

const numbered = /^([ebc])!(\d{16})$/;
const chunked = /^c!(\d{16})!(\d{6})$/;
const indexed = /^s!([^!]+)!(\d{16})$/;

export function parseKey(key: string): ParsedKey | undefined {
  const single = numbered.exec(key);
  if (single !== null) {
    const kind = single[1] === 'e' ? 'event' : single[1] === 'b' ? 'batch' : 'checkpoint';
    return { kind, seq: Number(single[2]) };
  }
  const index = indexed.exec(key);
  if (index !== null) {
    return { kind: 'index', stream: index[1] ?? '', revision: Number(index[2]) };
  }
  const chunk = chunked.exec(key);
  if (chunk !== null) {
    return { kind: 'chunk', seq: Number(chunk[1]), chunk: Number(chunk[2]) };
  }
  return [formatKey, horizonKey, lossesKey].includes(key) ? { kind: 'meta' } : undefined;
}
