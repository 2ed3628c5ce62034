// How an event and a batch stand in the log. An event's payload is the previous hash of its stream,
// its own hash, and its canonical JSON; the hash covers the first and the last. A batch's hash
// covers the previous batch's and those of its events. Hashes are SHA-256 cut to 128 bits, in hex.
// Stored.
import { hash } from 'node:crypto';
import type { RecordedEvent, StoredEvent } from '../../machines/kernel/envelope.ts';
import { batchKey, eventKey } from './keys.ts';
import { seal, unseal, unsealJson } from './sealed-value.ts';

const hashLength = 32;

/** What precedes the first event of a stream and the first batch. */
export const zeroHash = '0'.repeat(hashLength);

export function digest(text: string): string {
  return hash('sha256', text).slice(0, hashLength);
}

/**
 * The one serialization over which an event's hash is taken: the envelope's fields in this order.
 */
export function canonicalJson(event: RecordedEvent): string {
  return JSON.stringify({
    globalSeq: event.globalSeq,
    stream: event.stream,
    revision: event.revision,
    type: event.type,
    schemaVersion: event.schemaVersion,
    timeUs: event.timeUs,
    cause: event.cause,
    data: event.data,
  });
}

export interface EncodedEvent {
  readonly value: string;
  readonly hash: string;
}

export function encodeEvent(event: RecordedEvent, previousHash: string): EncodedEvent {
  const json = canonicalJson(event);
  const ownHash = digest(previousHash + json);
  return { value: seal(eventKey(event.globalSeq), previousHash + ownHash + json), hash: ownHash };
}

/** The event stored under `globalSeq`, or undefined when checksum, hash or position do not hold. */
export function decodeEvent(globalSeq: number, value: string | undefined): StoredEvent | undefined {
  const payload = unseal(eventKey(globalSeq), value);
  if (payload === undefined || payload.length < 2 * hashLength) {
    return undefined;
  }
  const previousHash = payload.slice(0, hashLength);
  const ownHash = payload.slice(hashLength, 2 * hashLength);
  const json = payload.slice(2 * hashLength);
  if (digest(previousHash + json) !== ownHash) {
    return undefined;
  }
  const event = JSON.parse(json) as RecordedEvent;
  return event.globalSeq === globalSeq ? { ...event, previousHash, hash: ownHash } : undefined;
}

export interface BatchRecord {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly previousHash: string;
  readonly hash: string;
}

export function chainBatch(
  range: { readonly firstSeq: number; readonly lastSeq: number },
  previousHash: string,
  eventHashes: string,
): BatchRecord {
  return { ...range, previousHash, hash: digest(previousHash + eventHashes) };
}

export function encodeBatch(record: BatchRecord): string {
  return seal(batchKey(record.lastSeq), JSON.stringify(record));
}

export function decodeBatch(lastSeq: number, value: string | undefined): BatchRecord | undefined {
  return unsealJson(batchKey(lastSeq), value) as BatchRecord | undefined;
}
