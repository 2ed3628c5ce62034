// An exclusive lock that lasts as long as the process: one server per root.
import { declare, resultOf, type NativeResult } from './library.ts';

const lockFile = declare('int varve_sys_lock_file(const char* path)');

/** Takes the lock and writes this process's id into the file; EAGAIN if another process holds it. */
export function takeLock(path: string): NativeResult<number> {
  return resultOf(lockFile()(path) as number);
}
