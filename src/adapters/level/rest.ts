// The rest of background work between its steps, which the end of that work cuts short.
import { setTimeout as timeout } from 'node:timers/promises';

export async function restUnless(signal: AbortSignal, restMs: number): Promise<void> {
  // Rejected only when it is cut short.
  await timeout(restMs, undefined, { signal }).catch(() => undefined);
}
