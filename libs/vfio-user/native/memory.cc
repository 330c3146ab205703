// Memory of another process, and eventfds.
//
// Rule: a peer that cuts its file off behind our back must not end us. A touch behind the new end is SIGBUS; the handler
// puts a page of zeros there, counts it, and the touch goes on. Faults anywhere else end the process as they always did.
#include <atomic>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"

namespace vfio_user {

// Mappings at a time; one more is ENOMEM. The handler walks the table, so it is never moved.
static constexpr size_t kMostMappings = 131072;
struct Mapping {
  std::atomic<uintptr_t> start{0};
  size_t length = 0;
  bool writable = false;
};
static Mapping mappings[kMostMappings];
static std::atomic<size_t> used{0};
static std::atomic<uint64_t> faults{0};
static struct sigaction before;
static uintptr_t page = 4096;

static void OnBus(int signal, siginfo_t* info, void* context) {
  const int kept = errno;
  const uintptr_t at = reinterpret_cast<uintptr_t>(info->si_addr);
  const size_t end = used.load();
  for (size_t i = 0; i < end; i++) {
    const uintptr_t start = mappings[i].start.load();
    if (start == 0 || at < start || at >= start + mappings[i].length) continue;
    void* where = reinterpret_cast<void*>(at & ~(page - 1));
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(where, page, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) break;
    faults.fetch_add(1);
    errno = kept;
    return;
  }
  if (before.sa_flags & SA_SIGINFO && before.sa_sigaction) return before.sa_sigaction(signal, info, context);
  sigaction(SIGBUS, &before, nullptr);
}

static void Guard() {
  static bool guarded = false;
  if (guarded) return;
  guarded = true;
  page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = OnBus;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

// A free place in the table; `next` is where it is looked for first.
static Mapping* Room() {
  static size_t next = 0;
  const size_t end = used.load();
  for (size_t i = 0; i < end; i++, next++)
    if (mappings[next % end].start.load() == 0) return &mappings[next % end];
  if (end == kMostMappings) return nullptr;
  used.store(end + 1);
  return &mappings[end];
}

// map(fd, offset, length, writable): the number of a mapping, or a negative errno. EINVAL: the file ends before.
napi_value Map(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const int fd = static_cast<int>(args.number(0));
  const int64_t offset = args.number(1), length = args.number(2);
  struct stat file;
  if (fstat(fd, &file) < 0) return args.answer(-errno);
  if (!S_ISREG(file.st_mode)) return args.answer(-ENODEV);
  if (offset < 0 || length <= 0 || offset > file.st_size || length > file.st_size - offset) return args.answer(-EINVAL);
  Guard();
  Mapping* mapping = Room();
  if (!mapping) return args.answer(-ENOMEM);
  const int protection = args.number(3) ? PROT_READ | PROT_WRITE : PROT_READ;
  void* data = mmap(nullptr, static_cast<size_t>(length), protection, MAP_SHARED, fd, offset);
  if (data == MAP_FAILED) return args.answer(-errno);
  mapping->length = static_cast<size_t>(length);
  mapping->writable = args.number(3) != 0;
  mapping->start.store(reinterpret_cast<uintptr_t>(data));
  return args.answer(mapping - mappings);
}

// The bytes [at, at + length) of a mapping; null when it has not got them.
static uint8_t* Inside(int64_t number, int64_t at, size_t length) {
  if (number < 0 || static_cast<size_t>(number) >= used.load()) return nullptr;
  const Mapping& mapping = mappings[number];
  const uintptr_t start = mapping.start.load();
  if (start == 0 || at < 0 || static_cast<size_t>(at) > mapping.length || length > mapping.length - static_cast<size_t>(at))
    return nullptr;
  return reinterpret_cast<uint8_t*>(start) + at;
}

// peek(mapping, at, into): reads. EFAULT: not all of it is in the mapping.
napi_value Peek(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t length;
  uint8_t* into = args.bytes(2, &length);
  const uint8_t* from = Inside(args.number(0), args.number(1), length);
  if (!from || !into) return args.answer(-EFAULT);
  memcpy(into, from, length);
  return args.answer(0);
}

// poke(mapping, at, data): writes. EFAULT: not all of it is in the mapping, or it is read-only.
napi_value Poke(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t length;
  const uint8_t* data = args.bytes(2, &length);
  uint8_t* to = Inside(args.number(0), args.number(1), length);
  if (!to || !data || !mappings[args.number(0)].writable) return args.answer(-EFAULT);
  memcpy(to, data, length);
  return args.answer(0);
}

// unmap(mapping): its number may be another one's afterwards.
napi_value Unmap(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  void* data = Inside(args.number(0), 0, 0);
  if (!data) return args.answer(-EINVAL);
  Mapping& mapping = mappings[args.number(0)];
  mapping.start.store(0);
  munmap(data, mapping.length);
  return args.answer(0);
}

// mapped(): mappings that there are.
napi_value Mapped(napi_env env, napi_callback_info info) {
  int64_t count = 0;
  for (size_t i = 0, end = used.load(); i < end; i++) count += mappings[i].start.load() != 0;
  return Arguments(env, info).answer(count);
}

// faults(): pages that peers took away behind our back, since the start of the process.
napi_value Faults(napi_env env, napi_callback_info info) {
  return Arguments(env, info).answer(static_cast<int64_t>(faults.load()));
}

// memfd(length): memory to share.
napi_value Memfd(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const int fd = memfd_create("vfiolab", MFD_CLOEXEC);
  if (fd >= 0 && ftruncate(fd, args.number(0)) < 0) {
    const int error = errno;
    close(fd);
    return args.answer(-error);
  }
  return args.answer(fd < 0 ? -errno : fd);
}

napi_value Truncate(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  return args.answer(ftruncate(static_cast<int>(args.number(0)), args.number(1)) < 0 ? -errno : 0);
}

napi_value Eventfd(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return args.answer(fd < 0 ? -errno : fd);
}

// eventWrite(fd, value): the descriptor is a peer's, and may block: it is written when it has room. -EAGAIN: it has none.
napi_value EventWrite(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const uint64_t value = static_cast<uint64_t>(args.number(1));
  pollfd room = {static_cast<int>(args.number(0)), POLLOUT, 0};
  if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT)) return args.answer(-EAGAIN);
  const ssize_t done = write(room.fd, &value, sizeof value);
  return args.answer(done < 0 ? -errno : 0);
}

// eventRead(fd): the counter, which is 0 afterwards; -EAGAIN when it is.
napi_value EventRead(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  uint64_t value = 0;
  const iovec part = {&value, sizeof value};
  const ssize_t got = preadv2(static_cast<int>(args.number(0)), &part, 1, -1, RWF_NOWAIT);
  return args.answer(got < 0 ? -errno : static_cast<int64_t>(value));
}

}  // namespace vfio_user
