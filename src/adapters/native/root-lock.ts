// The lock of a root: held by the server while it runs, and by a repair while it works.
import { join } from 'node:path';
import { lockFile, type FileLock } from './lock.ts';

/** The lock, or why it was not taken, in a sentence's words. */
export type RootLock =
  | { readonly ok: true; readonly lock: FileLock }
  | {
      readonly ok: false;
      /** Whether another one lives that holds it. */
      readonly isHeld: boolean;
      readonly reason: string;
      readonly next: string;
    };

/** Takes the lock of an existing root without waiting. */
export function lockRoot(root: string): RootLock {
  const path = join(root, 'lock');
  const taken = lockFile(path);
  if (taken.ok) return { ok: true, lock: taken.value };
  if (taken.code !== 'EAGAIN') {
    const next = 'look at the root, or run as root';
    const reason = `the lock ${path} cannot be taken: ${taken.code}`;
    return { ok: false, isHeld: false, reason, next };
  }
  const who = 'holderPid' in taken ? `another varve (process ${taken.holderPid})` : 'another varve';
  const reason = `${who} uses the root ${root}`;
  return { ok: false, isHeld: true, reason, next: 'stop it first' };
}
