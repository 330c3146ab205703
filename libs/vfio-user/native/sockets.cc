// UNIX sockets that carry file descriptors. Everything here is non-blocking.
#include <cerrno>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"

namespace vfio_user {

// Descriptors of one sendmsg that the kernel takes at most (SCM_MAX_FD).
static constexpr size_t kMostFds = 253;
// A message begins with a header of so many bytes, with the size of the whole in it: 32 bits, little endian.
static constexpr size_t kHeader = 16, kSizeAt = 4;

static int64_t Address(napi_env env, napi_value value, sockaddr_un* to) {
  memset(to, 0, sizeof *to);
  to->sun_family = AF_UNIX;
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return -EINVAL;
  if (length == 0 || length >= sizeof to->sun_path) return -ENAMETOOLONG;
  napi_get_value_string_utf8(env, value, to->sun_path, sizeof to->sun_path, &length);
  return 0;
}

// listen(path): a socket that only its owner may connect to. The mode is there before anybody can connect.
napi_value Listen(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  sockaddr_un address;
  const int64_t wrong = Address(env, args.values[0], &address);
  if (wrong) return args.answer(wrong);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return args.answer(-errno);
  const bool done = fchmod(fd, 0600) == 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                    chmod(address.sun_path, 0600) == 0 && listen(fd, 16) == 0;
  if (done) return args.answer(fd);
  const int error = errno;
  close(fd);
  return args.answer(-error);
}

napi_value Accept(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  const int fd = accept4(static_cast<int>(args.number(0)), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return args.answer(fd < 0 ? -errno : fd);
}

napi_value Connect(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  sockaddr_un address;
  const int64_t wrong = Address(env, args.values[0], &address);
  if (wrong) return args.answer(wrong);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return args.answer(-errno);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return args.answer(fd);
  const int error = errno;
  close(fd);
  return args.answer(-error);
}

// Reads once, non-blocking: bytes, 0 at the end, or a negative errno. Descriptors that come are put behind those that are
// there; fds[0] counts them. What does not fit is closed, with all the others, and fds[0] is -1.
static ssize_t ReadOnce(int fd, uint8_t* to, size_t length, int32_t* fds, size_t most) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec part = {to, length};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(most * sizeof(int));
  const ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return -errno;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int each;
      memcpy(&each, CMSG_DATA(c) + i * sizeof each, sizeof each);
      // CMSG_SPACE rounds up, so one more than was asked for may come.
      if (fds[0] >= 0 && static_cast<size_t>(fds[0]) < most)
        fds[1 + fds[0]++] = each;
      else {
        close(each);
        message.msg_flags |= MSG_CTRUNC;
      }
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (int32_t i = 0; i < fds[0]; i++) close(fds[1 + i]);
    fds[0] = -1;
  }
  return got;
}

// Where bytes and descriptors go: `receive` and `next` begin with (fd, buffer, from, fds).
struct Into {
  int fd;
  uint8_t* to;
  size_t room;
  int32_t* fds;
  size_t most;

  bool Take(const Arguments& args) {
    size_t length, bytes;
    uint8_t* buffer = args.bytes(1, &length);
    fds = reinterpret_cast<int32_t*>(args.bytes(3, &bytes));
    const size_t from = static_cast<size_t>(args.number(2));
    if (!buffer || !fds || bytes < 8 || from >= length) return false;
    fd = static_cast<int>(args.number(0));
    to = buffer + from;
    room = length - from;
    most = bytes / 4 - 1 < kMostFds ? bytes / 4 - 1 : kMostFds;
    fds[0] = 0;
    return true;
  }
};

// receive(fd, buffer, from, fds): bytes read, 0 at the end. fds[0] says how many descriptors came; they follow it. What
// does not fit is closed by the kernel, and fds[0] is -1.
napi_value Receive(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Into into;
  if (!into.Take(args)) return args.answer(-EINVAL);
  return args.answer(ReadOnce(into.fd, into.to, into.room, into.fds, into.most));
}

static int64_t Microseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

// next(fd, buffer, from, fds, patience): a message's header, and when the buffer has room for all of the message, what there
// is of the rest; never a byte of the message behind it. A header that is not there yet is looked for again and again, for
// so many microseconds. Answers as `receive`.
napi_value Next(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Into into;
  if (!into.Take(args) || into.room < kHeader) return args.answer(-EINVAL);
  const int64_t patience = args.number(4), until = patience > 0 ? Microseconds() + patience : 0;
  ssize_t got;
  do {
    got = ReadOnce(into.fd, into.to, kHeader, into.fds, into.most);
  } while (got == -EAGAIN && until > 0 && Microseconds() < until);
  if (got != static_cast<ssize_t>(kHeader)) return args.answer(got);
  uint32_t size;
  memcpy(&size, into.to + kSizeAt, sizeof size);
  if (size <= kHeader || size > into.room) return args.answer(got);
  const ssize_t more = ReadOnce(into.fd, into.to + kHeader, size - kHeader, into.fds, into.most);
  // What is wrong now is still wrong when the rest is asked for.
  return args.answer(more > 0 ? got + more : got);
}

// send(fd, buffer, from, to, fds?): bytes written of [from, to); descriptors go with the first of them.
napi_value Send(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t length, bytes;
  uint8_t* buffer = args.bytes(1, &length);
  const uint8_t* fds = args.bytes(4, &bytes);
  const size_t from = static_cast<size_t>(args.number(2)), to = static_cast<size_t>(args.number(3));
  if (!buffer || from > to || to > length || bytes > kMostFds * sizeof(int)) return args.answer(-EINVAL);
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec part = {buffer + from, to - from};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fds && bytes > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), fds, bytes);
  }
  const ssize_t sent = sendmsg(static_cast<int>(args.number(0)), &message, MSG_NOSIGNAL);
  return args.answer(sent < 0 ? -errno : sent);
}

napi_value Close(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  return args.answer(close(static_cast<int>(args.number(0))) < 0 ? -errno : 0);
}

}  // namespace vfio_user
