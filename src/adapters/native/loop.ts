// Queries about loop devices. Attaching and detaching can block and belong to a worker.
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

import { failedCall, succeeded, type NativeResult } from './errno.ts';
import { callNative } from './library.ts';

export interface LoopStatus {
  readonly number: number;
  readonly backingDevice: number;
  readonly backingInode: bigint;
  readonly offsetBytes: number;
  /** 0 means up to the end of the file. */
  readonly sizeLimitBytes: number;
  readonly isReadOnly: boolean;
  readonly isAutoclear: boolean;
  readonly isDirectIo: boolean;
  /** As recorded when it was attached; cut at 63 bytes. */
  readonly fileName: string;
}

// Flags of linux/loop.h.
const loopFlag = { readOnly: 1, autoclear: 4, directIo: 16 } as const;

/** Reads the state of a loop device; ENXIO if nothing is attached. */
export const loopStatus = (device: string): NativeResult<LoopStatus> => {
  const raw: Record<string, number | bigint | string> = {};
  const result = callNative('loop_status_get', [device, raw]);
  if (!result.ok) return result;
  const flags = Number(raw['flags']);
  return succeeded({
    number: Number(raw['number']),
    backingDevice: Number(raw['backing_device']),
    backingInode: BigInt(raw['backing_inode'] ?? 0),
    offsetBytes: Number(raw['offset_bytes']),
    sizeLimitBytes: Number(raw['size_limit_bytes']),
    isReadOnly: (flags & loopFlag.readOnly) !== 0,
    isAutoclear: (flags & loopFlag.autoclear) !== 0,
    isDirectIo: (flags & loopFlag.directIo) !== 0,
    fileName: String(raw['file_name']),
  });
};

/** The number of a free loop device; another process may take it first. */
export const freeLoopNumber = (): NativeResult<number> => callNative('loop_get_free');

// The kernel falls back to buffered I/O without an error, so what counts is what sysfs says now.
/** Whether a loop device really runs with direct I/O. */
export const loopUsesDirectIo = (number: number): NativeResult<boolean> => {
  try {
    return succeeded(readFileSync(`/sys/block/loop${number}/loop/dio`, 'utf8').trim() === '1');
  } catch (problem) {
    const errno = (problem as NodeJS.ErrnoException).errno ?? -constants.errno.EIO;
    return failedCall(errno, 'loop/dio');
  }
};
