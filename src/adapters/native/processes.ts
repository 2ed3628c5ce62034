// The end of this process, descriptors that stand for processes, and descriptors passed between
// processes.
import type { NativeResult } from './errno.ts';
import { callNative } from './library.ts';

/**
 * Ends this process at once. Node's own exit waits for the threads of libuv's pool, and one that a
 * system call holds on a hung disk would keep the process for ever.
 */
export function exitNow(exitCode: number): never {
  try {
    callNative('exit_now', [exitCode]);
  } catch {
    // Without the library nothing of ours can hang yet.
  }
  process.exit(exitCode);
}

/** A descriptor that becomes readable when the process ends; the caller closes it. */
export const openProcess = (pid: number): NativeResult<number> => callNative('pidfd_open', [pid]);

/** Sends one descriptor over a connected unix socket; the caller keeps its own. */
export const sendDescriptor = (socket: number, descriptor: number): NativeResult<number> =>
  callNative('send_fd', [socket, descriptor]);

/** Receives one descriptor; waits if the socket is a blocking one. */
export const receiveDescriptor = (socket: number): NativeResult<number> =>
  callNative('receive_fd', [socket]);

/** Closes a descriptor that a native call returned. */
export const closeDescriptor = (descriptor: number): NativeResult<number> =>
  callNative('close', [descriptor]);
