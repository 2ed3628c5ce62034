// Identities that come from outside the log: request ids, the kernel's boot, this program.
import { readFile } from 'node:fs/promises';
import { v7 } from 'uuid';

/** A request id: unique, and ordered by time. */
export const newRequestId = (): string => v7();

/** The kernel's id of the running boot: a new one means that the machine was restarted. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
