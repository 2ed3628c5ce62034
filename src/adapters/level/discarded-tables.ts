// Tables that the opening of the log took away without a merge. A merge that was broken off leaves
// tables whose content is elsewhere too; with a lost CURRENT or MANIFEST they held the history. The
// difference is whether what they held is still there.
import { readFile } from 'node:fs/promises';
import { turn } from './checkpoint-table.ts';
import type { Database } from './database.ts';
import { loadHorizon } from './horizon.ts';
import { parseKey } from './keys.ts';
import { isFinishedTable, isIntactTable, tableEntries } from './table-reader.ts';

const keysAtOnce = 1_000;

/**
 * Whether the database still holds every event and batch of these tables; compacted history and
 * checkpoints may be gone. False also when a table cannot be read whole: then nobody can tell.
 */
export async function isContentPresent(
  database: Database,
  tablePaths: readonly string[],
): Promise<boolean> {
  if (tablePaths.length === 0) return true;
  const horizon = await loadHorizon(database);
  if (horizon === 'damaged') return false;
  for (const path of tablePaths) {
    const table = await readFile(path);
    // LevelDB names a table once it is written to its end: before, its content is elsewhere too.
    if (!isFinishedTable(table)) continue;
    if (!isIntactTable(table)) return false;
    const keys = [...neededKeys(table, horizon.horizonSeq)];
    for (let from = 0; from < keys.length; from += keysAtOnce) {
      const values = await valuesOf(database, keys.slice(from, from + keysAtOnce));
      if (values.includes(undefined)) return false;
    }
    await turn();
  }
  return true;
}

async function valuesOf(
  database: Database,
  keys: string[],
): Promise<readonly (string | undefined)[]> {
  try {
    return await database.getMany(keys, { fillCache: false });
  } catch {
    // LevelDB found a block unreadable.
    return [undefined];
  }
}

function* neededKeys(table: Buffer, horizonSeq: number): Generator<string> {
  for (const { key } of tableEntries(table)) {
    const parsed = parseKey(key);
    const isNeeded = parsed?.kind === 'event' || parsed?.kind === 'batch';
    if (isNeeded && parsed.seq > horizonSeq) yield key;
  }
}
