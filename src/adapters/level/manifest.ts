// Which tables a MANIFEST says the database consists of. It is a log of edits; each adds and takes
// away tables, which LevelDB names by number. The tags are LevelDB's own (version_edit.cc).
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileContent } from './file-content.ts';
import { ByteReader } from './stored-entry.ts';
import { readLogRecords } from './write-ahead-log.ts';

const tags = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

/** Applies one edit; false if it does not decode. */
function applyEdit(edit: Buffer, tables: Set<number>): boolean {
  const reader = new ByteReader(edit);
  const text = (): Buffer => reader.bytes(reader.number());
  while (reader.hasMore) {
    switch (reader.number()) {
      case tags.comparator:
        text();
        break;
      case tags.logNumber:
      case tags.nextFileNumber:
      case tags.lastSequence:
      case tags.previousLogNumber:
        reader.number();
        break;
      case tags.compactPointer:
        reader.number();
        text();
        break;
      case tags.deletedFile:
        reader.number();
        tables.delete(reader.number());
        break;
      case tags.newFile: {
        reader.number();
        const table = reader.number();
        reader.number();
        text();
        text();
        if (!reader.isPast) tables.add(table);
        break;
      }
      default:
        return false;
    }
  }
  return !reader.isPast;
}

/** Numbers of the tables that a MANIFEST names in the end, as far as it can be read. */
export function tablesNamedBy(manifest: Buffer): ReadonlySet<number> {
  const tables = new Set<number>();
  for (const edit of readLogRecords(manifest).records) {
    if (!applyEdit(edit, tables)) break;
  }
  return tables;
}

/** Numbers of the tables of the database in a folder; none where CURRENT leads nowhere. */
export async function currentTables(folder: string): Promise<ReadonlySet<number>> {
  try {
    const current = await readFileContent(join(folder, 'CURRENT'));
    const name = current.content.toString().trim();
    if (!(await readdir(folder)).includes(name)) return new Set();
    return tablesNamedBy((await readFileContent(join(folder, name))).content);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set();
    throw error;
  }
}
