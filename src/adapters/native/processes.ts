// Descriptors that stand for processes, and descriptors passed between processes.
import type { NativeResult } from './errno.ts';
import { callNative } from './library.ts';

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
