// The hash that the log gives an event, computed again where a history is read without a log.
// Stored in every log and every export: it never changes.
import { createHash } from 'node:crypto';
import type { RecordedEvent } from '../machines/kernel/envelope.ts';

const hashLength = 32;

/** What precedes the first event of a stream. Stored. */
export const firstPreviousHash = '0'.repeat(hashLength);

/** SHA-256, cut to 128 bits, of the previous hash and the event's JSON in its fixed field order. */
export function eventHash(event: RecordedEvent, previousHash: string): string {
  const { globalSeq, stream, revision, type, schemaVersion, timeUs, cause, data } = event;
  const json = JSON.stringify({
    globalSeq,
    stream,
    revision,
    type,
    schemaVersion,
    timeUs,
    cause,
    data,
  });
  return createHash('sha256')
    .update(previousHash + json)
    .digest('hex')
    .slice(0, hashLength);
}
