// varve_sys: the quick Linux system calls that varve needs and JavaScript cannot make.
//
// Errors: every function returns a value >= 0, or a negative errno. `errno` itself carries no
//   meaning for the caller: it is lost between threads when a call is made asynchronously.
// Ownership: strings and buffers belong to the caller and are read (or filled) only during the call.
//   A returned descriptor belongs to the caller, who closes it; it is always close-on-exec.
// Threads: all functions may be called from any thread at the same time; the library keeps no state.
//   None changes process-wide settings (umask, working directory, environment, signals).
// Paths: NUL-terminated bytes. A symbolic link as the last component is never followed, except
//   where a function says so.
// Blocking: what can block on a broken device or server (mount, umount, syncfs, fsync) is here for
//   varve-helper and for tests. The service itself must run these in a worker.
//
// The structs have a fixed layout, the same on all 64-bit platforms. A change to a struct or a
// signature raises VARVE_SYS_ABI_VERSION.
#ifndef VARVE_SYSCALLS_VARVE_SYS_H_
#define VARVE_SYSCALLS_VARVE_SYS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VARVE_SYS_API __attribute__((visibility("default")))

#define VARVE_SYS_ABI_VERSION 4

// Returns VARVE_SYS_ABI_VERSION of the loaded library.
VARVE_SYS_API int varve_sys_abi_version(void);

// ---- files ------------------------------------------------------------------------------------

typedef struct varve_sys_file_status {
  uint64_t device;         // dev_t of the file system, as stat(2) gives it
  uint64_t inode;
  uint64_t mount_id;       // 0 where the kernel does not tell
  uint64_t size_bytes;
  uint64_t blocks;         // 512-byte blocks
  int64_t mtime_seconds;
  uint32_t mtime_nanoseconds;
  uint32_t mode;           // type and permission bits
  uint32_t uid;
  uint32_t gid;
  uint32_t link_count;
  uint32_t is_mount_root;  // 1 if the path is the root of a mount
} varve_sys_file_status;

// Fills `status` for `path`, without triggering automounts.
VARVE_SYS_API int varve_sys_statx(const char* path, varve_sys_file_status* status);

// Writes back the whole file system that holds `path`. Blocks.
VARVE_SYS_API int varve_sys_syncfs(const char* path);

// Makes one file or directory durable. Blocks.
VARVE_SYS_API int varve_sys_fsync(const char* path);

// Makes sure that `path` (created 0600 if absent) has `size_bytes` of allocated blocks. Existing
// content stays. ENOSPC leaves the file as it was, or absent if this call created it.
VARVE_SYS_API int varve_sys_preallocate(const char* path, uint64_t size_bytes);

// Makes sure that `path`, which must exist, has allocated blocks up to `size_bytes`, without
// changing its size: whoever appends to it finds room.
VARVE_SYS_API int varve_sys_keep_room(const char* path, uint64_t size_bytes);

// ---- layer directories --------------------------------------------------------------------------

#define VARVE_SYS_LAYER_WITH_WORK 1u

typedef struct varve_sys_layer {
  uint64_t id;         // names the directory, in decimal; not 0
  uint64_t parent_id;  // whose fs gives the owner; 0 means none: owned by this process
  uint32_t flags;      // VARVE_SYS_LAYER_WITH_WORK
  int32_t result;      // set by the call: 0 or a negative errno
} varve_sys_layer;

// Makes <snapshots_dir>/<id> (0700), <id>/fs (0755) and, with VARVE_SYS_LAYER_WITH_WORK, <id>/work
// (0711) for each of `count` layers; modes are exact whatever the umask. `fs` is given to the owner
// of <parent_id>/fs. Many layers share one call because the call costs more than the directories.
// Each layer's `result` is its own: EEXIST if <id> exists, EINVAL for id 0 or unknown flags, the
// errno of the parent's fs if that cannot be read. What a failed layer made is gone again. The
// call's own result is negative, and no layer is touched, if <snapshots_dir> cannot be opened.
VARVE_SYS_API int varve_sys_make_layers(const char* snapshots_dir, varve_sys_layer* layers,
                                        uint32_t count);

#define VARVE_SYS_PROBE_ON_OVERLAY 1u     // the directory lies on an overlay file system
#define VARVE_SYS_PROBE_SCRATCH 2u        // a scratch directory cannot be made in it
#define VARVE_SYS_PROBE_ENTRY_TYPE 4u     // directory entries carry no file type
#define VARVE_SYS_PROBE_TRUSTED_XATTR 8u  // trusted.* extended attributes do not work
#define VARVE_SYS_PROBE_WHITEOUT 16u      // neither RENAME_WHITEOUT nor a 0:0 character device works

// Tells whether the file system holding `directory` can carry overlay upper directories, by trying
// in a scratch directory that is removed again. Returns 0, or the errno of the first step that
// failed with the bits of all failed steps in `failed_steps` (always set).
VARVE_SYS_API int varve_sys_probe_overlay_upper(const char* directory, uint32_t* failed_steps);

// ---- project quota ------------------------------------------------------------------------------

typedef struct varve_sys_project_usage {
  uint64_t limit_bytes;  // hard limit; 0 means none
  uint64_t used_bytes;
  uint64_t used_inodes;
} varve_sys_project_usage;

// Gives `directory` a project id that everything made below it inherits.
VARVE_SYS_API int varve_sys_set_project(const char* directory, uint32_t project_id);

// Reads the project id of `directory` into `project_id`.
VARVE_SYS_API int varve_sys_get_project(const char* directory, uint32_t* project_id);

// Sets the hard block limit of a project on the file system that holds `path`, rounded up to
// 1024-byte units; 0 takes the limit away. ESRCH if the file system would not keep it. ENOSYS on
// kernels without quotactl_fd (before 5.14).
VARVE_SYS_API int varve_sys_set_project_limit(const char* path, uint32_t project_id,
                                              uint64_t limit_bytes);

// Reads limit and usage of a project on the file system that holds `path`.
VARVE_SYS_API int varve_sys_get_project_usage(const char* path, uint32_t project_id,
                                              varve_sys_project_usage* usage);

// ---- loop devices -------------------------------------------------------------------------------

typedef struct varve_sys_loop_status {
  uint64_t backing_device;
  uint64_t backing_inode;
  uint64_t offset_bytes;
  uint64_t size_limit_bytes;  // 0 means up to the end of the file
  uint32_t number;
  uint32_t flags;             // LO_FLAGS_* of linux/loop.h
  char file_name[64];         // as recorded by whoever attached it; cut at 63 bytes
} varve_sys_loop_status;

// Reads the state of a loop device; ENXIO if nothing is attached.
VARVE_SYS_API int varve_sys_loop_status_get(const char* device, varve_sys_loop_status* status);

// Returns the number of a free loop device. Another process may take it first.
VARVE_SYS_API int varve_sys_loop_get_free(void);

// ---- mounts -------------------------------------------------------------------------------------

// mount(2) with MS_* flags. NULL or empty `type`, `source` and `data` are allowed as there. Symbolic
// links in `target` are followed, as mount(2) does. Blocks.
VARVE_SYS_API int varve_sys_mount(const char* source, const char* target, const char* type,
                                  uint64_t flags, const char* data);

// Mounts by fsopen, fsconfig, fsmount and move_mount, without the one-page limit on options.
// `options` is a list of `key=value` or `key`, each ended by NUL, `options_bytes` in all; an option
// without `=` is a flag. `attributes` are MOUNT_ATTR_* bits. The kernel's own explanation of a
// failure, if any, is written to `message` (NUL-terminated, cut at `message_capacity`). ENOSYS on
// kernels without this interface. Blocks.
VARVE_SYS_API int varve_sys_mount_with_options(const char* type, const char* target,
                                               const char* options, size_t options_bytes,
                                               uint64_t attributes, char* message,
                                               size_t message_capacity);

// umount2(2) with MNT_* and UMOUNT_* flags. Blocks.
VARVE_SYS_API int varve_sys_unmount(const char* target, int flags);

// ---- processes, descriptors, service manager ----------------------------------------------------

// Ends this process with `status` at once: no exit handlers, and no wait for threads that a system
// call holds. Does not return.
VARVE_SYS_API int varve_sys_exit_now(int status);

// Returns a descriptor that stands for the process; it becomes readable when the process ends.
VARVE_SYS_API int varve_sys_pidfd_open(int pid);

// Whether the process that a descriptor stands for has ended: 1 or 0.
VARVE_SYS_API int varve_sys_pidfd_has_ended(int fd);

// Sends a signal to the process that a descriptor stands for, and never to another one that has got
// its id since. ESRCH if it has ended.
VARVE_SYS_API int varve_sys_pidfd_signal(int fd, int signal);

// Returns the id of the process that listens on a unix socket (SOCK_STREAM or SOCK_SEQPACKET); 0 if
// this process cannot see it, from its namespace. ECONNREFUSED or ENOENT if none does; EAGAIN if too many wait
// for it. Connects, and never blocks.
VARVE_SYS_API int varve_sys_peer_process(const char* socket_path);

// Takes note of the end of a child of this process, which nobody else waits for: 1 if it had ended,
// 0 if it has not. ECHILD if it is no child.
VARVE_SYS_API int varve_sys_reap(int pid);

// Sends one descriptor (and one byte) over a connected unix socket. The caller keeps its copy.
VARVE_SYS_API int varve_sys_send_fd(int socket, int fd);

// Receives what varve_sys_send_fd sent and returns the descriptor. ENODATA if the peer has closed,
// EBADMSG if a message came without a descriptor or with several, which are closed.
VARVE_SYS_API int varve_sys_receive_fd(int socket);

// Closes a descriptor that this library returned.
VARVE_SYS_API int varve_sys_close(int fd);

// Sends `state` (lines such as "READY=1") to the datagram socket of the service manager; a path
// beginning with `@` names an abstract socket. Never blocks: EAGAIN if the manager's queue is full.
VARVE_SYS_API int varve_sys_notify(const char* socket_path, const char* state);

// Takes an exclusive lock on `path` (created 0600), writes this process's id into it, and returns
// the descriptor that holds the lock until it is closed or the process ends. EWOULDBLOCK if another
// holder lives; its process id can then be read from the file.
VARVE_SYS_API int varve_sys_lock_file(const char* path);

#ifdef __cplusplus
}  // extern "C"

static_assert(sizeof(varve_sys_file_status) == 72);
static_assert(sizeof(varve_sys_project_usage) == 24);
static_assert(sizeof(varve_sys_loop_status) == 104);
#endif

#endif  // VARVE_SYSCALLS_VARVE_SYS_H_
