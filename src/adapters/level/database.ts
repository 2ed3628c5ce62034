// The one place that names LevelDB's binding. Keys and values are UTF-8 text throughout.
import { Level } from 'level';
import type { ClassicLevel, Snapshot } from 'classic-level';
import { isNoSpaceCode } from '../native/errno.ts';
import { ZeroRoom } from './zero-room.ts';

/** LevelDB as everyone else sees it: written by `writeBatch` alone. */
export type Database = Omit<OneWriter, 'batch' | 'put' | 'del' | 'clear'>;
export type DatabaseSnapshot = Snapshot;

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

/**
 * Bytes that one iterator step may fetch: fewer crossings into native code than the default 16 KiB.
 */
export const fetchBytes = 1024 * 1024;

/** What an operation takes in the write-ahead log beside its key and value, about. */
const operationBytes = 8;

/** What the package is outside of browsers. */
const Binding = Level as unknown as typeof ClassicLevel;

/**
 * One write at a time, so that room in the log is made while LevelDB does not write it.
 * compactRange may run beside: it begins a new log, but writes nothing into it.
 */
class OneWriter extends Binding {
  readonly #room: ZeroRoom;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(path: string) {
    super(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
    this.#room = new ZeroRoom(path);
  }

  write(operations: Operation[], options: { readonly sync: boolean }): Promise<void> {
    const written = this.#lastWrite.then(() => this.#write(operations, options));
    this.#lastWrite = written.catch(() => undefined);
    return written;
  }

  async #write(operations: Operation[], options: { readonly sync: boolean }): Promise<void> {
    this.#room.count(sizeBytesOf(operations) + operationBytes * operations.length);
    // Only who waits for a sync gains by it.
    if (options.sync) await this.#room.provide();
    await this.batch(operations, options);
  }
}

export async function openDatabase(path: string): Promise<Database> {
  const database = new OneWriter(path);
  await database.open();
  return database;
}

export function writeBatch(
  database: Database,
  operations: Operation[],
  options: { readonly sync: boolean },
): Promise<void> {
  return database.write(operations, options);
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
