// The only importer of koffi: loads libvarve_sys when it is first called and checks its version.
//
// Every function returns a value >= 0 or a negative errno; errno itself is never read, since after
// an asynchronous call it belongs to another thread. Asynchronous calls take a thread of libuv's
// pool, which the log shares: never one that can block for long.
import koffi from 'koffi';

import { constants } from 'node:os';

import { failedCall, succeeded, type NativeResult } from './errno.ts';
import { findNativeFile } from './location.ts';

const abiVersion = 4;

/** An argument of a native call; an object or array is filled by the call. */
export type NativeArgument = string | number | Buffer | object | null;

type BoundFunction = ReturnType<ReturnType<typeof koffi.load>['func']>;

const structs = {
  varve_sys_file_status: {
    device: 'uint64_t',
    inode: 'uint64_t',
    mount_id: 'uint64_t',
    size_bytes: 'uint64_t',
    blocks: 'uint64_t',
    mtime_seconds: 'int64_t',
    mtime_nanoseconds: 'uint32_t',
    mode: 'uint32_t',
    uid: 'uint32_t',
    gid: 'uint32_t',
    link_count: 'uint32_t',
    is_mount_root: 'uint32_t',
  },
  varve_sys_project_usage: {
    limit_bytes: 'uint64_t',
    used_bytes: 'uint64_t',
    used_inodes: 'uint64_t',
  },
  varve_sys_loop_status: {
    backing_device: 'uint64_t',
    backing_inode: 'uint64_t',
    offset_bytes: 'uint64_t',
    size_limit_bytes: 'uint64_t',
    number: 'uint32_t',
    flags: 'uint32_t',
    file_name: koffi.array('char', 64, 'String'),
  },
} as const;

const parameters = {
  abi_version: '',
  statx: 'const char *path, _Out_ varve_sys_file_status *status',
  syncfs: 'const char *path',
  fsync: 'const char *path',
  preallocate: 'const char *path, uint64_t size',
  keep_room: 'const char *path, uint64_t size',
  make_layers: 'const char *dir, _Inout_ uint8_t *layers, uint32_t count',
  probe_overlay_upper: 'const char *directory, _Out_ uint32_t *failed_steps',
  set_project: 'const char *directory, uint32_t project',
  get_project: 'const char *directory, _Out_ uint32_t *project',
  set_project_limit: 'const char *path, uint32_t project, uint64_t limit',
  get_project_usage: 'const char *path, uint32_t project, _Out_ varve_sys_project_usage *usage',
  loop_status_get: 'const char *device, _Out_ varve_sys_loop_status *status',
  loop_get_free: '',
  mount:
    'const char *source, const char *target, const char *type, uint64_t flags, const char *data',
  mount_with_options:
    'const char *type, const char *target, const uint8_t *options, size_t bytes, ' +
    'uint64_t attributes, _Out_ uint8_t *message, size_t capacity',
  unmount: 'const char *target, int flags',
  exit_now: 'int status',
  pidfd_open: 'int pid',
  pidfd_has_ended: 'int fd',
  pidfd_signal: 'int fd, int signal',
  peer_process: 'const char *path',
  reap: 'int pid',
  send_fd: 'int socket, int fd',
  receive_fd: 'int socket',
  close: 'int fd',
  notify: 'const char *socket, const char *state',
  lock_file: 'const char *path',
} as const;

/** The functions of libvarve_sys, without their common prefix. */
export type NativeFunctionName = keyof typeof parameters;

const bound = new Map<NativeFunctionName, BoundFunction>();
let handle: ReturnType<typeof koffi.load> | undefined;

const load = (): ReturnType<typeof koffi.load> => {
  const path = findNativeFile('libvarve_sys.so');
  const library = koffi.load(path);
  const found: unknown = library.func('int varve_sys_abi_version()')();
  if (found !== abiVersion) {
    throw new Error(
      `native library at ${path} has version ${String(found)}, wanted ${abiVersion}: run make build`,
    );
  }
  for (const [name, members] of Object.entries(structs)) koffi.struct(name, members);
  return library;
};

const bind = (name: NativeFunctionName): BoundFunction => {
  const known = bound.get(name);
  if (known !== undefined) return known;
  handle ??= load();
  const made = handle.func(`int varve_sys_${name}(${parameters[name]})`);
  bound.set(name, made);
  return made;
};

// C would cut such a string at the NUL and act on another path than the one named.
const holdsNul = (value: NativeArgument): boolean =>
  typeof value === 'string' && value.includes('\0');

const toResult = (name: NativeFunctionName, returned: number): NativeResult<number> =>
  returned < 0 ? failedCall(returned, name) : succeeded(returned);

/** Calls a native function and waits for it on this thread. */
export const callNative = (
  name: NativeFunctionName,
  args: readonly NativeArgument[] = [],
): NativeResult<number> => {
  if (args.some(holdsNul)) return failedCall(-constants.errno.EINVAL, name);
  return toResult(name, bind(name)(...args) as number);
};

/** Calls a native function on a thread of libuv's pool. */
export const callNativeAsync = (
  name: NativeFunctionName,
  args: readonly NativeArgument[] = [],
): Promise<NativeResult<number>> => {
  if (args.some(holdsNul)) return Promise.resolve(failedCall(-constants.errno.EINVAL, name));
  const call = bind(name);
  return new Promise((resolve, reject) => {
    call.async(...args, (problem: Error | null, returned: number) => {
      if (problem !== null) reject(problem);
      else resolve(toResult(name, returned));
    });
  });
};
