// Preloaded into a process, makes a range of one file unreadable, under whatever name the file is
// opened, as a bad sector does: reads fail with EIO, and touching a mapped page is a SIGBUS.
// VARVE_TEST_UNREADABLE holds the file's inode number and the range's first and last byte.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const long page_bytes = 4096;

static unsigned long bad_inode;
static long bad_from;
static long bad_to;

__attribute__((constructor)) static void configure(void) {
  const char* text = getenv("VARVE_TEST_UNREADABLE");
  if (text != NULL) sscanf(text, "%lu:%ld:%ld", &bad_inode, &bad_from, &bad_to);
}

static int is_bad(int fd, long from, size_t length) {
  struct stat status;
  if (bad_inode == 0 || length == 0) return 0;
  if (from > bad_to || from + (long)length <= bad_from) return 0;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == bad_inode;
}

ssize_t read(int fd, void* buffer, size_t length) {
  if (bad_inode != 0) {
    const int before = errno;
    const long from = lseek(fd, 0, SEEK_CUR);
    if (from >= 0 && is_bad(fd, from, length)) {
      errno = EIO;
      return -1;
    }
    errno = before;
  }
  return syscall(SYS_read, fd, buffer, length);
}

ssize_t pread64(int fd, void* buffer, size_t length, off64_t from) {
  if (is_bad(fd, from, length)) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_pread64, fd, buffer, length, from);
}

ssize_t pread(int fd, void* buffer, size_t length, off_t from) {
  return pread64(fd, buffer, length, from);
}

#undef fread_unlocked

// LevelDB's sequential reader: an error is that less came and the end was not reached.
size_t fread_unlocked(void* buffer, size_t size, size_t count, FILE* stream) {
  if (bad_inode != 0 && is_bad(fileno(stream), ftell(stream), size * count)) {
    errno = EIO;
    return 0;
  }
  return fread(buffer, size, count, stream);
}

// The page is taken from beyond the end of an empty file, where the kernel has nothing to give.
static void spoil(char* mapped, size_t length, long offset) {
  const int empty = memfd_create("unreadable", MFD_CLOEXEC);
  for (size_t at = 0; at < length; at += page_bytes) {
    const long from = offset + (long)at;
    if (from > bad_to || from + page_bytes <= bad_from) continue;
    syscall(SYS_mmap, mapped + at, page_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, empty, 0L);
  }
  close(empty);
}

void* mmap64(void* address, size_t length, int protection, int flags, int fd, off64_t offset) {
  void* mapped = (void*)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
  if (fd >= 0 && mapped != MAP_FAILED && is_bad(fd, offset, length)) spoil(mapped, length, offset);
  return mapped;
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap64(address, length, protection, flags, fd, offset);
}
