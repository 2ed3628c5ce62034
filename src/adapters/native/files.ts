// Facts about a path, and making paths durable. syncPath and syncFileSystem block: the service runs
// them in a worker, only short-lived commands and tests run them here.
import { succeeded, type NativeResult } from './errno.ts';
import { callNative, callNativeAsync } from './library.ts';

/** What statx tells about a path; symbolic links are not followed. */
export interface FileStatus {
  readonly device: number;
  readonly inode: bigint;
  /** 0 where the kernel does not tell. */
  readonly mountId: number;
  readonly sizeBytes: number;
  /** Units of 512 bytes. */
  readonly blockCount: number;
  readonly mtimeNs: bigint;
  /** File type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly linkCount: number;
  readonly isMountRoot: boolean;
}

type RawStatus = Record<string, number | bigint>;

const numberOf = (raw: RawStatus, field: string): number => Number(raw[field] ?? 0);
const bigintOf = (raw: RawStatus, field: string): bigint => BigInt(raw[field] ?? 0);

/** Reads the status of a path. */
export const fileStatus = (path: string): NativeResult<FileStatus> => {
  const raw: RawStatus = {};
  const result = callNative('statx', [path, raw]);
  if (!result.ok) return result;
  return succeeded({
    device: numberOf(raw, 'device'),
    inode: bigintOf(raw, 'inode'),
    mountId: numberOf(raw, 'mount_id'),
    sizeBytes: numberOf(raw, 'size_bytes'),
    blockCount: numberOf(raw, 'blocks'),
    mtimeNs: bigintOf(raw, 'mtime_seconds') * 1_000_000_000n + bigintOf(raw, 'mtime_nanoseconds'),
    mode: numberOf(raw, 'mode'),
    uid: numberOf(raw, 'uid'),
    gid: numberOf(raw, 'gid'),
    linkCount: numberOf(raw, 'link_count'),
    isMountRoot: numberOf(raw, 'is_mount_root') === 1,
  });
};

/** Writes back the whole file system that holds the path. Blocks. */
export const syncFileSystem = (path: string): NativeResult<number> => callNative('syncfs', [path]);

/** Makes one file or directory durable. Blocks. */
export const syncPath = (path: string): NativeResult<number> => callNative('fsync', [path]);

/** The same on a pool thread. */
export const syncPathAsync = (path: string): Promise<NativeResult<number>> =>
  callNativeAsync('fsync', [path]);

/** Makes sure that a file (0600, made if absent) has that many bytes of allocated blocks. */
export const preallocate = (path: string, sizeBytes: number): NativeResult<number> =>
  callNative('preallocate', [path, sizeBytes]);

/** Preallocation on a pool thread; a large file can take a while. */
export const preallocateAsync = (path: string, sizeBytes: number): Promise<NativeResult<number>> =>
  callNativeAsync('preallocate', [path, sizeBytes]);

/** Makes sure, on a pool thread, that a file has blocks up to that size, which it does not get. */
export const keepRoom = (path: string, sizeBytes: number): Promise<NativeResult<number>> =>
  callNativeAsync('keep_room', [path, sizeBytes]);
