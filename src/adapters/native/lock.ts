// The lock that keeps a second server off a root directory. The kernel ends it with the process, so
// there is no stale lock to clean up.
import { readFileSync } from 'node:fs';

import { succeeded, type NativeFailure, type NativeResult } from './errno.ts';
import { callNative } from './library.ts';
import { closeDescriptor } from './processes.ts';

/** A lock that is held until it is released or the process ends. */
export interface FileLock {
  readonly path: string;
  release(): void;
}

/** A refused lock; `holderPid` is the process that holds it, as far as the file tells. */
export interface LockFailure extends NativeFailure {
  readonly holderPid?: number;
}

const readHolder = (path: string): number | undefined => {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    // Only an addition to the message; the refusal itself is reported.
    return undefined;
  }
};

/** Takes the lock without waiting; EAGAIN if another holder lives. */
export const lockFile = (path: string): NativeResult<FileLock> | LockFailure => {
  const result = callNative('lock_file', [path]);
  if (!result.ok) {
    const holderPid = result.code === 'EAGAIN' ? readHolder(path) : undefined;
    return holderPid === undefined ? result : { ...result, holderPid };
  }
  let descriptor: number | undefined = result.value;
  return succeeded({
    path,
    release: () => {
      // A second close could hit a descriptor that someone else has got meanwhile.
      if (descriptor !== undefined) closeDescriptor(descriptor);
      descriptor = undefined;
    },
  });
};
