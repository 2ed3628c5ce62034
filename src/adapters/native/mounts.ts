// Mount and unmount by name of the call. They block on a broken device: the service uses a worker
// for them, these are for commands and tests.
import { succeeded, type NativeFailure, type NativeResult } from './errno.ts';
import { callNative } from './library.ts';

/** MS_* flags of mount(2). */
export const mountFlag = {
  readOnly: 1,
  noSuid: 2,
  noDev: 4,
  noExec: 8,
  remount: 32,
  bind: 4096,
  recursive: 16384,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
} as const;

/** Flags of umount2(2). */
export const unmountFlag = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
  /** Options joined by commas; at most one page. */
  readonly data: string;
}

/** Mounts by mount(2). Blocks. */
export const mount = (request: MountRequest): NativeResult<number> =>
  callNative('mount', [request.source, request.target, request.type, request.flags, request.data]);

export interface OptionsMountRequest {
  readonly type: string;
  readonly target: string;
  /** `key=value` or `key` each. */
  readonly options: readonly string[];
  /** MOUNT_ATTR_* bits. */
  readonly attributes?: number;
}

/** Mounts by the newer interface, without a limit on the options' length. Blocks. */
export const mountWithOptions = (
  request: OptionsMountRequest,
): NativeResult<number> | (NativeFailure & { readonly message: string }) => {
  const options = Buffer.from(request.options.map((option) => `${option}\0`).join(''));
  const message = Buffer.alloc(512);
  const result = callNative('mount_with_options', [
    request.type,
    request.target,
    options,
    options.length,
    request.attributes ?? 0,
    message,
    message.length,
  ]);
  if (result.ok) return succeeded(result.value);
  const end = message.indexOf(0);
  return { ...result, message: message.toString('utf8', 0, end < 0 ? message.length : end) };
};

/** Unmounts by umount2(2). Blocks. */
export const unmount = (target: string, flags: number): NativeResult<number> =>
  callNative('unmount', [target, flags]);
