// The end of this process, descriptors that stand for processes, who listens on a socket, and
// descriptors passed between processes.
import { constants } from 'node:os';
import { succeeded, type NativeResult } from './errno.ts';
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

/** Whether the process of such a descriptor has ended. */
export const hasEnded = (process: number): NativeResult<boolean> => {
  const result = callNative('pidfd_has_ended', [process]);
  return result.ok ? succeeded(result.value === 1) : result;
};

/** Sends a signal to the process of such a descriptor, and to no other; ESRCH if it has ended. */
export const signalProcess = (process: number, signal: NodeJS.Signals): NativeResult<number> =>
  callNative('pidfd_signal', [process, constants.signals[signal]]);

/**
 * The process that listens on a unix socket; 0 if it cannot be seen from here. ECONNREFUSED or
 * ENOENT if none does.
 */
export const listenerOf = (socketPath: string): NativeResult<number> =>
  callNative('peer_process', [socketPath]);

/** Sends one descriptor over a connected unix socket; the caller keeps its own. */
export const sendDescriptor = (socket: number, descriptor: number): NativeResult<number> =>
  callNative('send_fd', [socket, descriptor]);

/** Receives one descriptor; waits if the socket is a blocking one. */
export const receiveDescriptor = (socket: number): NativeResult<number> =>
  callNative('receive_fd', [socket]);

/** Closes a descriptor that a native call returned. */
export const closeDescriptor = (descriptor: number): NativeResult<number> =>
  callNative('close', [descriptor]);
