// Identities that come from outside the log: request ids, the kernel's boot, this program.
import { randomFillSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { v7 } from 'uuid';

const idRandomBytes = 16;

// Asking the system for random bytes costs more than the rest of an id, so many are asked at once.
const pool = new Uint8Array(256 * idRandomBytes);
let poolOffset = pool.length;

function randomBytes(): Uint8Array {
  if (poolOffset === pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  poolOffset += idRandomBytes;
  return pool.subarray(poolOffset - idRandomBytes, poolOffset);
}

/** A request id: unique, and ordered by time. */
export const newRequestId = (): string => v7({ random: randomBytes() });

/** The kernel's id of the running boot: a new one means that the machine was restarted. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
