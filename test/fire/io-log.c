/*
 * Preloaded into a process: writes down, in order, what it does to files in one folder.
 *
 * Rule: one log for all files, so that an acknowledgement and the writes before it keep their order.
 * A record: op (1 byte: 'w' write, 't' truncate, 's' sync), length of the name (1 byte), name, u64 offset or size, u32 length,
 * bytes. Numbers are little endian. The folder itself is called ".".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MAX_FDS 4096
static char names[MAX_FDS][256];
static int logFd = -1;
static char folder[4096];

static ssize_t (*realWrite)(int, const void *, size_t);
static ssize_t (*realPwrite)(int, const void *, size_t, off_t);

__attribute__((constructor)) static void begin(void) {
  realWrite = dlsym(RTLD_NEXT, "write");
  realPwrite = dlsym(RTLD_NEXT, "pwrite64");
  int (*realOpen)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  const char *log = getenv("VFIOLAB_IO_LOG"), *under = getenv("VFIOLAB_IO_UNDER");
  if (!log || !under) return;
  snprintf(folder, sizeof folder, "%s/", under);
  logFd = realOpen(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

static void record(char op, const char *name, uint64_t at, const void *bytes, uint32_t length) {
  if (logFd < 0) return;
  size_t n = strlen(name), size = 14 + n + length;
  char *all = malloc(size), *p = all;
  *p++ = op;
  *p++ = (char)n;
  memcpy(p, name, n);
  memcpy(p + n, &at, 8);
  memcpy(p + n + 8, &length, 4);
  if (length) memcpy(p + n + 12, bytes, length);
  if (realWrite(logFd, all, size) != (ssize_t)size) abort();
  free(all);
}

static void note(char op, int fd, uint64_t at, const void *bytes, uint32_t length) {
  if (fd >= 0 && fd < MAX_FDS && names[fd][0]) record(op, names[fd], at, bytes, length);
}

/** Its name in the folder; NULL when it lies elsewhere. */
static const char *inFolder(const char *path) {
  size_t n = strlen(folder);
  if (n < 2) return 0;
  if (!strncmp(path, folder, n)) return path + n;
  return strlen(path) == n - 1 && !strncmp(path, folder, n - 1) ? "." : 0;
}

static int opened(int fd, const char *path) {
  if (fd >= 0 && fd < MAX_FDS) {
    const char *name = inFolder(path);
    snprintf(names[fd], sizeof names[fd], "%s", name ? name : "");
  }
  return fd;
}

#define OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                  \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name); \
    va_list args;                                               \
    va_start(args, flags);                                      \
    mode_t mode = va_arg(args, mode_t);                         \
    va_end(args);                                               \
    int fd = opened(real(path, flags, mode), path);             \
    if (fd >= 0 && (flags & O_TRUNC)) note('t', fd, 0, 0, 0);   \
    return fd;                                                  \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "close");
  if (fd >= 0 && fd < MAX_FDS) names[fd][0] = 0;
  return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  off_t at = fd >= 0 && fd < MAX_FDS && names[fd][0] ? lseek(fd, 0, SEEK_CUR) : 0;
  if (fd >= 0 && fd < MAX_FDS && names[fd][0] && (fcntl(fd, F_GETFL) & O_APPEND)) at = lseek(fd, 0, SEEK_END);
  ssize_t done = realWrite(fd, bytes, length);
  if (done > 0) note('w', fd, (uint64_t)at, bytes, (uint32_t)done);
  return done;
}

static ssize_t put(int fd, const void *bytes, size_t length, off_t at) {
  ssize_t done = realPwrite(fd, bytes, length, at);
  if (done > 0) note('w', fd, (uint64_t)at, bytes, (uint32_t)done);
  return done;
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return put(fd, bytes, length, at); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return put(fd, bytes, length, at); }

static int cut(int fd, off_t size, const char *name) {
  int (*real)(int, off_t) = dlsym(RTLD_NEXT, name);
  int done = real(fd, size);
  if (!done) note('t', fd, (uint64_t)size, 0, 0);
  return done;
}
int ftruncate(int fd, off_t size) { return cut(fd, size, "ftruncate"); }
int ftruncate64(int fd, off_t size) { return cut(fd, size, "ftruncate64"); }

static int flush(int fd, const char *name) {
  int (*real)(int) = dlsym(RTLD_NEXT, name);
  int done = real(fd);
  if (!done) note('s', fd, 0, 0, 0);
  return done;
}
int fsync(int fd) { return flush(fd, "fsync"); }
int fdatasync(int fd) { return flush(fd, "fdatasync"); }

int unlink(const char *path) {
  int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
  int done = real(path);
  const char *name = inFolder(path);
  if (!done && name) record('u', name, 0, 0, 0);
  return done;
}
