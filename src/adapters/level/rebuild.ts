// Makes a log of what was salvaged, as the plan says: drops what lies beyond its end and before its
// beginning, writes index and batch records anew from the events, and appends the event that says
// so.
import type { RecordedEvent } from '../../machines/kernel/envelope.ts';
import type { NodeEvent } from '../../machines/node/events.ts';
import { dropCheckpoints, turn } from './checkpoint-table.ts';
import { compactLog } from './compaction.ts';
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
  parseKey,
} from './keys.ts';
import type { RepairPlan } from './repair-plan.ts';
import { seal } from './sealed-value.ts';
import type { Tip } from './tip-file.ts';

const stepMax = 512;

/** Version of `LogRepaired`'s data that this file writes. Stored. */
export const logRepairedVersion = 1;

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

/** Streams whose older events are all there, up to where the base knows them. */
async function wholeStreams(database: Database, plan: RepairPlan): Promise<Set<string>> {
  const whole = new Set<string>();
  const lte = eventKey(plan.base?.checkpoint.globalSeq ?? 0);
  const iterator = database.iterator({ gt: 'e!', lte, highWaterMarkBytes: fetchBytes });
  const ends = new Map<string, string>();
  for await (const [key, value] of iterator) {
    const event = decodeEvent(Number(key.slice(2)), value);
    if (event !== undefined && event.previousHash === (ends.get(event.stream) ?? zeroHash)) {
      ends.set(event.stream, event.hash);
    }
  }
  for (const [stream, head] of plan.base?.heads ?? []) {
    if (ends.get(stream) === head.hash) {
      whole.add(stream);
    }
  }
  return whole;
}

/**
 * Writes index and batch records for all events; returns the hash with which the chain of batches
 * ends.
 */
async function rewriteTables(database: Database, baseSeq: number): Promise<string> {
  await deleteKeys(database, { gt: 's!', lt: 's"' });
  await deleteKeys(database, { gt: 'b!', lt: 'b"' });
  let previousHash = zeroHash;
  if (baseSeq > 0) {
    // The link from which the chain goes on: the events before it are no longer all there.
    previousHash = digest(`repaired at ${baseSeq}`);
    const range = { firstSeq: baseSeq, lastSeq: baseSeq };
    const value = encodeBatch({ ...range, previousHash: zeroHash, hash: previousHash });
    await writeBatch(database, [{ type: 'put', key: batchKey(baseSeq), value }], { sync: false });
  }
  let after = 'e!';
  for (;;) {
    const range = { gt: after, lt: 'e"', limit: stepMax, highWaterMarkBytes: fetchBytes };
    const entries = await database.iterator(range).all();
    const operations: Operation[] = [];
    let hashes = '';
    let firstSeq = 0;
    let lastSeq = 0;
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
      if (event.globalSeq > baseSeq) {
        firstSeq ||= event.globalSeq;
        lastSeq = event.globalSeq;
        hashes += event.hash;
      }
    }
    if (lastSeq > 0) {
      const record = chainBatch({ firstSeq, lastSeq }, previousHash, hashes);
      previousHash = record.hash;
      operations.push({ type: 'put', key: batchKey(lastSeq), value: encodeBatch(record) });
    }
    await writeBatch(database, operations, { sync: false });
    if (entries.length < stepMax) {
      return previousHash;
    }
    await turn();
  }
}

export interface RepairEnd {
  readonly timeUs: number;
  /**
   * The highest id of a directory: where history was lost, none up to it may be deleted as an
   * orphan.
   */
  readonly directoryIdMax: number;
}

async function appendRepaired(
  database: Database,
  plan: RepairPlan,
  end: RepairEnd & { readonly batchHash: string },
): Promise<Tip> {
  const globalSeq = plan.savedThroughSeq + 1;
  const head = plan.heads.get(nodeStreamName);
  const event: Extract<NodeEvent, { type: 'LogRepaired' }> = {
    globalSeq,
    stream: nodeStreamName,
    revision: (head?.revision ?? 0) + 1,
    type: 'LogRepaired',
    schemaVersion: logRepairedVersion,
    timeUs: end.timeUs,
    cause: { kind: 'operator', method: 'repair' },
    data: {
      savedThroughSeq: plan.savedThroughSeq,
      lost: plan.lost,
      orphansKeptUpTo: plan.lost.length > 0 ? end.directoryIdMax : 0,
    },
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

/** Turns the database of everything salvaged into the repaired log. */
export async function rebuild(
  database: Database,
  plan: RepairPlan,
  end: RepairEnd,
): Promise<{ readonly tip: Tip; readonly horizonSeq: number }> {
  await deleteKeys(database, { gt: eventKey(plan.savedThroughSeq), lt: 'e"' });
  const horizonSeq = plan.base?.checkpoint.globalSeq ?? 0;
  if (plan.isCut && plan.base !== undefined) {
    await compactLog({
      database,
      record: plan.base,
      previous: plan.horizon,
      liveStreams: await wholeStreams(database, plan),
      crashPoint: () => undefined,
      onHorizon: () => undefined,
    });
  } else if (plan.base === undefined) {
    await writeBatch(database, [{ type: 'del', key: horizonKey }], { sync: false });
  } else {
    const value = encodeHorizon(plan.horizon);
    await writeBatch(database, [{ type: 'put', key: horizonKey, value }], { sync: false });
  }
  const kept = plan.checkpoints.filter((seq) => seq <= plan.savedThroughSeq);
  await dropCheckpoints(database, new Set([...kept.slice(0, 2), horizonSeq]));
  const batchHash = await rewriteTables(database, horizonSeq);
  const format = seal(formatKey, JSON.stringify({ formatVersion }));
  await writeBatch(database, [{ type: 'put', key: formatKey, value: format }], { sync: false });
  const tip = await appendRepaired(database, plan, { ...end, batchHash });
  await database.compactRange('b!', 't!');
  return { tip, horizonSeq };
}
