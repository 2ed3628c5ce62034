// Makes a log of what was salvaged, as the plan says: deletes what does not belong, writes index
// and batch records anew from the events, stores what is lost and the checkpoint behind it, and
// appends the event that says so.
import type { Cause, RecordedEvent } from '../../machines/kernel/envelope.ts';
import type { NodeEvent } from '../../machines/node/events.ts';
import { dropCheckpoints, storeCheckpoint, turn } from './checkpoint-table.ts';
import { nodeStreamName } from './checkpoint-record.ts';
import type { Database, Operation } from './database.ts';
import { fetchBytes, writeBatch } from './database.ts';
import {
  chainBatch,
  decodeEvent,
  digest,
  encodeBatch,
  encodeEvent,
  zeroHash,
} from './event-record.ts';
import { encodeHorizon } from './horizon.ts';
import {
  batchKey,
  eventKey,
  formatKey,
  formatVersion,
  horizonKey,
  indexKey,
  lossesKey,
  parseKey,
} from './keys.ts';
import { encodeLosses } from './losses.ts';
import type { RepairPlan } from './repair-plan.ts';
import { seal } from './sealed-value.ts';
import type { Tip } from './tip-file.ts';

const stepMax = 512;

/** Version of `LogRepaired`'s data that this file writes. Stored. */
export const logRepairedVersion = 2;

async function deleteKeys(database: Database, range: { gt: string; lt: string }): Promise<void> {
  for (;;) {
    const keys = await database.keys({ ...range, limit: stepMax }).all();
    const operations = keys.map((key): Operation => ({ type: 'del', key }));
    await writeBatch(database, operations, { sync: false });
    if (keys.length < stepMax) {
      return;
    }
  }
}

async function deleteEvents(database: Database, seqs: readonly number[]): Promise<void> {
  for (let start = 0; start < seqs.length; start += stepMax) {
    const part = seqs.slice(start, start + stepMax);
    const operations = part.map((seq): Operation => ({ type: 'del', key: eventKey(seq) }));
    await writeBatch(database, operations, { sync: false });
  }
}

/**
 * Chains batch records over events as they come; a record never reaches over a gap, nor over a
 * checkpoint, from which a check of the rest begins.
 */
class BatchChain {
  readonly #checkpointSeqs: ReadonlySet<number>;
  #hash: string;
  #firstSeq = 0;
  #lastSeq = 0;
  #hashes = '';

  constructor(hash: string, checkpointSeqs: ReadonlySet<number>) {
    this.#hash = hash;
    this.#checkpointSeqs = checkpointSeqs;
  }

  /** The hash with which the chain ends. */
  get hash(): string {
    return this.#hash;
  }

  /** Takes the next event; returns what is to be stored before it. */
  add(globalSeq: number, hash: string): Operation[] {
    const isNext = globalSeq === this.#lastSeq + 1 && !this.#checkpointSeqs.has(this.#lastSeq);
    const operations = isNext ? [] : this.end();
    this.#firstSeq ||= globalSeq;
    this.#lastSeq = globalSeq;
    this.#hashes += hash;
    return operations;
  }

  /** Ends the record that is open. */
  end(): Operation[] {
    if (this.#firstSeq === 0) return [];
    const range = { firstSeq: this.#firstSeq, lastSeq: this.#lastSeq };
    const record = chainBatch(range, this.#hash, this.#hashes);
    this.#hash = record.hash;
    this.#firstSeq = 0;
    this.#hashes = '';
    return [{ type: 'put', key: batchKey(record.lastSeq), value: encodeBatch(record) }];
  }
}

/**
 * Writes index and batch records for all events; returns the hash with which the chain of batches
 * ends.
 */
async function rewriteTables(
  database: Database,
  horizonSeq: number,
  checkpointSeqs: ReadonlySet<number>,
): Promise<string> {
  await deleteKeys(database, { gt: 's!', lt: 's"' });
  await deleteKeys(database, { gt: 'b!', lt: 'b"' });
  let linkHash = zeroHash;
  if (horizonSeq > 0) {
    // The link from which the chain goes on: the events before it are no longer all there.
    linkHash = digest(`repaired at ${horizonSeq}`);
    const range = { firstSeq: horizonSeq, lastSeq: horizonSeq };
    const value = encodeBatch({ ...range, previousHash: zeroHash, hash: linkHash });
    await writeBatch(database, [{ type: 'put', key: batchKey(horizonSeq), value }], {
      sync: false,
    });
  }
  const chain = new BatchChain(linkHash, checkpointSeqs);
  let after = 'e!';
  for (;;) {
    const range = { gt: after, lt: 'e"', limit: stepMax, highWaterMarkBytes: fetchBytes };
    const entries = await database.iterator(range).all();
    const operations: Operation[] = [];
    for (const [key, value] of entries) {
      after = key;
      const parsed = parseKey(key);
      const event = parsed?.kind === 'event' ? decodeEvent(parsed.seq, value) : undefined;
      if (event === undefined) {
        operations.push({ type: 'del', key });
        continue;
      }
      const index = indexKey(event.stream, event.revision);
      operations.push({ type: 'put', key: index, value: seal(index, String(event.globalSeq)) });
      if (event.globalSeq > horizonSeq) operations.push(...chain.add(event.globalSeq, event.hash));
    }
    operations.push(...chain.end());
    await writeBatch(database, operations, { sync: false });
    if (entries.length < stepMax) {
      return chain.hash;
    }
    await turn();
  }
}

/** When and why a log is repaired. */
export interface RepairOccasion {
  readonly timeUs: number;
  readonly cause: Cause;
}

async function appendRepaired(
  database: Database,
  plan: RepairPlan,
  end: RepairOccasion & { readonly batchHash: string },
): Promise<Tip> {
  const globalSeq = plan.lastSeq + 1;
  const head = plan.heads.get(nodeStreamName);
  const { lost, orphansKeptUpTo, idsReservedUpTo } = plan;
  const { resumedAtSeq } = plan.losses;
  const event: Extract<NodeEvent, { type: 'LogRepaired' }> = {
    globalSeq,
    stream: nodeStreamName,
    revision: (head?.revision ?? 0) + 1,
    type: 'LogRepaired',
    schemaVersion: logRepairedVersion,
    timeUs: end.timeUs,
    cause: end.cause,
    data: { lost, resumedAtSeq, orphansKeptUpTo, idsReservedUpTo },
  };
  const { value, hash } = encodeEvent(event satisfies RecordedEvent, head?.hash ?? zeroHash);
  const index = indexKey(event.stream, event.revision);
  const range = { firstSeq: globalSeq, lastSeq: globalSeq };
  const record = chainBatch(range, end.batchHash, hash);
  await writeBatch(
    database,
    [
      { type: 'put', key: eventKey(globalSeq), value },
      { type: 'put', key: index, value: seal(index, String(globalSeq)) },
      { type: 'put', key: batchKey(globalSeq), value: encodeBatch(record) },
    ],
    { sync: true },
  );
  return { lastSeq: globalSeq, batchHash: record.hash };
}

/** Writes a mark, or takes it away where there is nothing to mark. */
const mark = (key: string, value: string | undefined): Operation =>
  value === undefined ? { type: 'del', key } : { type: 'put', key, value };

/** Turns the database of everything salvaged into the repaired log. */
export async function rebuild(
  database: Database,
  plan: RepairPlan,
  { timeUs, cause }: RepairOccasion,
): Promise<Tip> {
  const { horizon, losses } = plan;
  await deleteEvents(database, plan.surplusSeqs);
  const newest = plan.checkpointSeqs.slice(0, 2);
  const kept = new Set([...newest, horizon.horizonSeq, losses.resumedAtSeq]);
  const batchHash = await rewriteTables(database, horizon.horizonSeq, kept);
  await writeBatch(
    database,
    [
      mark(horizonKey, horizon.horizonSeq > 0 ? encodeHorizon(horizon) : undefined),
      mark(lossesKey, losses.resumedAtSeq > 0 ? encodeLosses(losses) : undefined),
      mark(formatKey, seal(formatKey, JSON.stringify({ formatVersion }))),
    ],
    { sync: false },
  );
  if (plan.resumed !== undefined) await storeCheckpoint(database, plan.resumed);
  await dropCheckpoints(database, kept);
  const tip = await appendRepaired(database, plan, { timeUs, cause, batchHash });
  await database.compactRange('b!', 't!');
  return tip;
}
