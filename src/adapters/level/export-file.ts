// The export: the newest checkpoint as a file of its own beside the database, replaced atomically,
// so that there is a state to begin from when the database is lost. One line each, with a checksum:
// a head that says what this is, then the chunks.
import { open, readFile, rename, rm } from 'node:fs/promises';
import { syncDirectory } from '../system/directories.ts';
import { dirname } from 'node:path';
import type { CheckpointHead, CheckpointRecord } from './checkpoint-record.ts';
import { assemble, chunkPayloads, extendHash, headOf } from './checkpoint-record.ts';
import { isReadError } from './file-content.ts';
import { formatVersion } from './keys.ts';
import { seal, unseal, unsealJson } from './sealed-value.ts';

const what =
  'varve checkpoint export: line 1 this head, then one chunk a line; 8 hex of CRC-32 each';

interface ExportHead extends CheckpointHead {
  readonly what: string;
  readonly formatVersion: number;
}

function lineKey(line: number): string {
  return `x!${line}`;
}

export async function writeExport(path: string, record: CheckpointRecord): Promise<void> {
  const lines: string[] = [];
  let hash = '';
  for (const payload of chunkPayloads(record)) {
    hash = extendHash(hash, payload);
    lines.push(seal(lineKey(lines.length + 2), payload) + '\n');
  }
  const head: ExportHead = {
    what,
    formatVersion,
    ...headOf(record, { count: lines.length, hash }),
  };
  lines.unshift(seal(lineKey(1), JSON.stringify(head)) + '\n');
  const temporary = path + '.new';
  const file = await open(temporary, 'w', 0o600);
  try {
    for (const line of lines) {
      await file.write(line);
    }
    await file.sync();
  } catch (error) {
    // What is left of it would take room that may be what was missing.
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** The exported checkpoint; undefined when there is none or it does not check out. */
export async function readExport(path: string): Promise<CheckpointRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || isReadError(error)) {
      return undefined;
    }
    throw error;
  }
  const lines = text.split('\n');
  const head = unsealJson(lineKey(1), lines[0]) as ExportHead | undefined;
  if (head === undefined || head.formatVersion > formatVersion) {
    return undefined;
  }
  const payloads = lines.slice(1, -1).map((line, index) => unseal(lineKey(index + 2), line));
  return assemble(head, payloads);
}
