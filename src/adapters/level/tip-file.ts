// The tip: the last durable position and its batch's hash, in one small file outside the database.
// It is written after each batch's sync and before anyone is told, and is itself not synced: after
// a crash of the process it is exact, after a power cut it may be old. So it is a lower bound: a
// log that ends below it has lost acknowledged events. An unreadable tip proves nothing and is
// written anew.
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { isReadError } from './file-content.ts';
import { digits } from './keys.ts';
import { seal, unseal } from './sealed-value.ts';

export interface Tip {
  readonly lastSeq: number;
  readonly batchHash: string;
}

const sealKey = 'tip';
const lengthBytes = 8 + 16 + 1 + 32 + 1;

export class TipFile {
  #descriptor: number;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'a+', 0o600);
    closeSync(this.#descriptor);
    this.#descriptor = openSync(path, 'r+');
  }

  /** Makes what was written durable. */
  sync(): void {
    fsyncSync(this.#descriptor);
  }

  /** The stored tip; `damaged` when there is one that cannot be read; undefined for a new file. */
  read(): Tip | 'damaged' | undefined {
    if (fstatSync(this.#descriptor).size === 0) {
      return undefined;
    }
    const buffer = Buffer.alloc(lengthBytes);
    const readBytes = this.#readInto(buffer);
    const payload = unseal(sealKey, buffer.toString('latin1', 0, Math.max(readBytes - 1, 0)));
    const fields = /^(\d{16}) ([0-9a-f]{32})$/.exec(payload ?? '');
    return fields === null ? 'damaged' : { lastSeq: Number(fields[1]), batchHash: fields[2] ?? '' };
  }

  #readInto(buffer: Buffer): number {
    try {
      return readSync(this.#descriptor, buffer, 0, lengthBytes, 0);
    } catch (error) {
      if (!isReadError(error)) throw error;
      return 0;
    }
  }

  // Always the same length at the same place: no allocation, so it cannot fail for want of space.
  write(tip: Tip): void {
    const line = seal(sealKey, digits(tip.lastSeq) + ' ' + tip.batchHash) + '\n';
    writeSync(this.#descriptor, line, 0, 'latin1');
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
