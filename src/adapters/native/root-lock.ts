// The lock of a root: held by the server while it runs, and by a repair while it works.
import { join } from 'node:path';
import { lockFile, type FileLock } from './lock.ts';

/** The lock, or why it was not taken, in a sentence's words. */
export type RootLock =
  | { readonly ok: true; readonly lock: FileLock }
  | { readonly ok: false; readonly reason: string; readonly next: string };

/** Takes the lock of an existing root without waiting. */
export function lockRoot(root: string): RootLock {
  const path = join(root, 'lock');
  const taken = lockFile(path);
  if (taken.ok) return { ok: true, lock: taken.value };
  if (taken.code !== 'EAGAIN') {
    const next = 'look at the root, or run as root';
    return { ok: false, reason: `the lock ${path} cannot be taken: ${taken.code}`, next };
  }
  const who = 'holderPid' in taken ? `another varve (process ${taken.holderPid})` : 'another varve';
  return { ok: false, reason: `${who} uses the root ${root}`, next: 'stop it first' };
}
