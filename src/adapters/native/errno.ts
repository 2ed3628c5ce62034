// Errno numbers as names and words, from Node's own table of this platform.
import { getSystemErrorMap } from 'node:util';

/** `EBUSY` for 16; `E<number>` for one that has no name here. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `E${errno}`;
}

/** What the number means, in words. */
export function errnoMessage(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`;
}
