// Salvage: everything that still holds, from every file there is: the log's own and the
// quarantine's
// copies. Files are read by our own readers, never opened by LevelDB, so nothing is changed by
// looking.
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Database, Operation } from './database.ts';
import { writeBatch } from './database.ts';
import { horizonKey, lossesKey } from './keys.ts';
import { decodeLosses } from './losses.ts';
import { turn } from './checkpoint-table.ts';
import { readFileContent } from './file-content.ts';
import type { StoredHorizon } from './horizon.ts';
import { unsealJson } from './sealed-value.ts';
import { batchEntries, type StoredEntry } from './stored-entry.ts';
import { tableEntries } from './table-reader.ts';
import { readLogRecords } from './write-ahead-log.ts';

const batchEntriesMax = 512;

export interface SalvagedFile {
  readonly path: string;
  readonly entryCount: number;
}

interface SourceFile {
  readonly path: string;
  readonly number: number;
}

/** The files of the folders, each content once, oldest first: what was written later wins. */
async function sourceFiles(folders: readonly string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  const seen = new Set<number>();
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      const number = Number(/^(\d+)\.(?:log|ldb|sst)$/.exec(name)?.[1] ?? Number.NaN);
      const path = join(folder, name);
      const { ino } = Number.isNaN(number) ? { ino: 0 } : await stat(path);
      if (!Number.isNaN(number) && !seen.has(ino)) {
        seen.add(ino);
        files.push({ path, number });
      }
    }
  }
  return files.sort((a, b) => a.number - b.number);
}

export function* entriesOf(path: string, file: Buffer): Generator<StoredEntry> {
  if (path.endsWith('.log')) {
    for (const record of readLogRecords(file).records) {
      yield* batchEntries(record);
    }
  } else {
    yield* tableEntries(file);
  }
}

/** How far a mark reaches, of the keys whose values only ever go on; undefined for other keys. */
function reachOf({ key, value }: StoredEntry): number | undefined {
  if (key === lossesKey) return decodeLosses(value)?.resumedAtSeq ?? 0;
  if (key !== horizonKey) return undefined;
  const { horizonSeq = 0, isDone = false } =
    (unsealJson(horizonKey, value) as StoredHorizon | undefined) ?? {};
  return horizonSeq + (isDone ? 0.5 : 0);
}

/** Copies all sound entries of the folders' files into a database. */
export async function salvageInto(
  database: Database,
  folders: readonly string[],
): Promise<SalvagedFile[]> {
  const salvaged: SalvagedFile[] = [];
  const marks = new Map<string, { readonly value: string; readonly reach: number }>();
  for (const { path } of await sourceFiles(folders)) {
    let entryCount = 0;
    let operations: Operation[] = [];
    const { content } = await readFileContent(path);
    for (const entry of entriesOf(path, content)) {
      const { key, value } = entry;
      entryCount += 1;
      const reach = reachOf(entry);
      if (reach !== undefined) {
        // An older mark must not win over a newer one, whatever files they are in.
        if (reach >= (marks.get(key)?.reach ?? 0)) marks.set(key, { value, reach });
        continue;
      }
      operations.push({ type: 'put', key, value });
      if (operations.length >= batchEntriesMax) {
        await writeBatch(database, operations, { sync: false });
        operations = [];
        await turn();
      }
    }
    await writeBatch(database, operations, { sync: false });
    salvaged.push({ path: join(basename(join(path, '..')), basename(path)), entryCount });
  }
  const operations = [...marks].map(([key, { value }]): Operation => ({ type: 'put', key, value }));
  await writeBatch(database, operations, { sync: false });
  return salvaged;
}
