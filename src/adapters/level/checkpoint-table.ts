// Checkpoints in the database. Chunks are written first and the head last, synced: a head whose
// chunks are not all there, unaltered, does not count, so a crash in between leaves the older
// checkpoint.
import type { CheckpointHead, CheckpointRecord } from './checkpoint-record.ts';
import { assemble, chunkPayloads, extendHash, headOf } from './checkpoint-record.ts';
import type { Database, Operation } from './database.ts';
import { writeBatch } from './database.ts';
import { checkpointKey, chunkKey, parseKey } from './keys.ts';
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

async function keysOfCheckpoints(database: Database): Promise<string[]> {
  return await database.keys({ gt: 'c!', lt: 'c"' }).all();
}

/** Positions of the stored checkpoints' heads, newest first; says nothing about their validity. */
export async function checkpointSeqs(database: Database): Promise<number[]> {
  const seqs: number[] = [];
  for (const key of await keysOfCheckpoints(database)) {
    const parsed = parseKey(key);
    if (parsed?.kind === 'checkpoint') {
      seqs.push(parsed.seq);
    }
  }
  return seqs.reverse();
}

/** The checkpoint at exactly this position; undefined when it is absent or does not check out. */
export async function loadCheckpoint(
  database: Database,
  globalSeq: number,
): Promise<CheckpointRecord | undefined> {
  try {
    const key = checkpointKey(globalSeq);
    const head = unsealJson(key, await database.get(key)) as CheckpointHead | undefined;
    if (head === undefined || head.globalSeq !== globalSeq) {
      return undefined;
    }
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

/** Deletes all checkpoints but those at the given positions. */
export async function dropCheckpoints(
  database: Database,
  keptSeqs: ReadonlySet<number>,
): Promise<void> {
  const operations: Operation[] = [];
  for (const key of await keysOfCheckpoints(database)) {
    const parsed = parseKey(key);
    const seq = parsed?.kind === 'checkpoint' || parsed?.kind === 'chunk' ? parsed.seq : undefined;
    if (seq === undefined || !keptSeqs.has(seq)) {
      operations.push({ type: 'del', key });
    }
  }
  if (operations.length > 0) {
    await writeBatch(database, operations, { sync: false });
  }
}
