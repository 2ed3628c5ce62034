// Where a log's files hold each event: by reading the undamaged files, record by record and block
// by block, independently of what salvage makes of damaged ones.
import { readFileSync } from 'node:fs';
import { batchEntries, type StoredEntry } from '../../src/adapters/level/stored-entry.ts';
import { readLogRecords } from '../../src/adapters/level/write-ahead-log.ts';
import { decodeBatch } from '../../src/adapters/level/event-record.ts';
import { parseKey } from '../../src/adapters/level/keys.ts';
import { unseal } from '../../src/adapters/level/sealed-value.ts';
import { blocksOf, entriesOf } from './table-blocks.ts';

/** A part of a file that is read as a whole or not at all. */
export interface Place {
  readonly fromByte: number;
  /** Behind its last byte. */
  readonly toByte: number;
  /** Positions of the events that lie in it. */
  readonly eventSeqs: readonly number[];
  /** Positions of the events that are found, counted or proven by what lies in it. */
  readonly referredSeqs: readonly number[];
  readonly hasOther: boolean;
}

function placeOf(fromByte: number, toByte: number, entries: Iterable<StoredEntry>): Place {
  const eventSeqs: number[] = [];
  const referredSeqs: number[] = [];
  let hasOther = false;
  for (const { key, value } of entries) {
    const parsed = parseKey(key);
    if (parsed?.kind === 'event') {
      eventSeqs.push(parsed.seq);
    } else if (parsed?.kind === 'index') {
      referredSeqs.push(Number(unseal(key, value)));
    } else if (parsed?.kind === 'batch') {
      const { firstSeq, lastSeq } = decodeBatch(parsed.seq, value) ?? { firstSeq: 1, lastSeq: 0 };
      for (let seq = firstSeq; seq <= lastSeq; seq += 1) referredSeqs.push(seq);
    } else {
      hasOther = true;
    }
  }
  return { fromByte, toByte, eventSeqs, referredSeqs, hasOther };
}

/** The places of a write-ahead log or a table, in the order of their bytes; none of other files. */
export function placesIn(path: string): Place[] {
  const content = readFileSync(path);
  if (path.endsWith('.log')) {
    const { records, boundaries } = readLogRecords(content);
    if (records.length !== boundaries.length) throw new Error(`${path} has records in fragments`);
    return records.map((record, index) =>
      placeOf(boundaries[index] ?? 0, boundaries[index + 1] ?? content.length, [
        ...batchEntries(record),
      ]),
    );
  }
  if (!path.endsWith('.ldb')) return [];
  return blocksOf(content).map((block) =>
    placeOf(
      block.offset,
      block.offset + block.length + 5,
      entriesOf(content, block).map(({ key, value }) => ({ key, value: value.toString('utf8') })),
    ),
  );
}
