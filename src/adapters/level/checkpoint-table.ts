// Checkpoints in the database. Chunks are written first and the head last, synced: a head whose
// chunks are not all there, unaltered, does not count, so a crash in between leaves the older
// checkpoint.
import type { CheckpointHead, CheckpointRecord } from './checkpoint-record.ts';
import { assemble, chunkPayloads, extendHash, headOf } from './checkpoint-record.ts';
import type { Database, Operation } from './database.ts';
import { writeBatch } from './database.ts';
import { checkpointKey, chunkKey } from './keys.ts';
import { checkpointPositions } from './numbered-keys.ts';
import { seal, unseal, unsealJson } from './sealed-value.ts';

/** Gives other work a turn between chunks. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export async function storeCheckpoint(database: Database, record: CheckpointRecord): Promise<void> {
  const { globalSeq } = record.checkpoint;
  let count = 0;
  let hash = '';
  for (const payload of chunkPayloads(record)) {
    const key = chunkKey(globalSeq, count);
    await writeBatch(database, [{ type: 'put', key, value: seal(key, payload) }], { sync: false });
    hash = extendHash(hash, payload);
    count += 1;
  }
  const key = checkpointKey(globalSeq);
  const value = seal(key, JSON.stringify(headOf(record, { count, hash })));
  await writeBatch(database, [{ type: 'put', key, value }], { sync: true });
}

/** Positions by which any stored chunk or head is named, newest first. */
async function storedSeqs(database: Database): Promise<number[]> {
  return (await checkpointPositions(database)).reverse();
}

async function readHead(
  database: Database,
  globalSeq: number,
): Promise<CheckpointHead | 'absent' | 'unreadable'> {
  const key = checkpointKey(globalSeq);
  try {
    const value = await database.get(key);
    if (value === undefined) return 'absent';
    return (unsealJson(key, value) as CheckpointHead | undefined) ?? 'unreadable';
  } catch {
    // LevelDB found the block unreadable.
    return 'unreadable';
  }
}

/** Positions of the stored checkpoints' heads, newest first; says nothing about their validity. */
export async function checkpointSeqs(database: Database): Promise<number[]> {
  const seqs: number[] = [];
  for (const seq of await storedSeqs(database)) {
    if ((await readHead(database, seq)) !== 'absent') seqs.push(seq);
  }
  return seqs;
}

/** The checkpoint at exactly this position; undefined when it is absent or does not check out. */
export async function loadCheckpoint(
  database: Database,
  globalSeq: number,
): Promise<CheckpointRecord | undefined> {
  const head = await readHead(database, globalSeq);
  if (typeof head === 'string' || head.globalSeq !== globalSeq) {
    return undefined;
  }
  try {
    const payloads: (string | undefined)[] = [];
    for (let chunk = 0; chunk < head.chunkCount; chunk += 1) {
      const name = chunkKey(globalSeq, chunk);
      payloads.push(unseal(name, await database.get(name)));
    }
    return assemble(head, payloads);
  } catch {
    // LevelDB could not read a block: this checkpoint does not count, an older one may.
    return undefined;
  }
}

/** The keys of the chunks: those that the head tells of, or else those that can be found. */
async function chunkKeys(database: Database, globalSeq: number): Promise<string[]> {
  const head = await readHead(database, globalSeq);
  if (typeof head !== 'string') {
    return Array.from({ length: head.chunkCount }, (_, chunk) => chunkKey(globalSeq, chunk));
  }
  const range = { gt: checkpointKey(globalSeq), lt: checkpointKey(globalSeq + 1) };
  try {
    return await database.keys(range).all();
  } catch {
    // LevelDB found a block unreadable: what is left there is in nobody's way.
    return [];
  }
}

/** Deletes all checkpoints but those at the given positions. */
export async function dropCheckpoints(
  database: Database,
  keptSeqs: ReadonlySet<number>,
): Promise<void> {
  const operations: Operation[] = [];
  for (const seq of await storedSeqs(database)) {
    if (keptSeqs.has(seq)) continue;
    const keys = [checkpointKey(seq), ...(await chunkKeys(database, seq))];
    for (const key of keys) operations.push({ type: 'del', key });
  }
  if (operations.length > 0) {
    await writeBatch(database, operations, { sync: false });
  }
}
