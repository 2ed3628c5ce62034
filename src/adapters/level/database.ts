// The one place that names LevelDB's binding. Keys and values are UTF-8 text throughout.
import { Level } from 'level';
import type { ClassicLevel, Snapshot } from 'classic-level';
import { isNoSpaceCode } from '../native/errno.ts';

export type Database = ClassicLevel;
export type DatabaseSnapshot = Snapshot;

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

/**
 * Bytes that one iterator step may fetch: fewer crossings into native code than the default 16 KiB.
 */
export const fetchBytes = 1024 * 1024;

export async function openDatabase(path: string): Promise<Database> {
  const database = new Level<string, string>(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
  await database.open();
  return database as unknown as Database;
}

export async function writeBatch(
  database: Database,
  operations: Operation[],
  options: { readonly sync: boolean },
): Promise<void> {
  await database.batch(operations, options);
}

/** What a batch takes in the write-ahead log, but for lengths and tags. */
export function sizeBytesOf(operations: readonly Operation[]): number {
  let sizeBytes = 0;
  for (const { key, ...rest } of operations) {
    sizeBytes += Buffer.byteLength(key) + ('value' in rest ? Buffer.byteLength(rest.value) : 0);
  }
  return sizeBytes;
}

/** The cause of a failed opening or call, as LevelDB names it. */
export function failureCode(error: unknown): string {
  const outer = error as { code?: string; cause?: { code?: string } };
  return outer.cause?.code ?? outer.code ?? 'UNKNOWN';
}

export function failureMessage(error: unknown): string {
  const outer = error as { message?: string; cause?: { message?: string } };
  return outer.cause?.message ?? outer.message ?? String(error);
}

/** Whether the disk had no room. LevelDB passes the system's words on and no number. */
export function isNoSpace(error: unknown): boolean {
  const words = /No space left on device|Disk quota exceeded/;
  return isNoSpaceCode(failureCode(error)) || words.test(failureMessage(error));
}
