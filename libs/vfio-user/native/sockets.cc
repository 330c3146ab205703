// UNIX sockets that carry file descriptors. Everything here is non-blocking.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"

namespace vfio_user {

// Descriptors of one sendmsg that the kernel takes at most (SCM_MAX_FD).
static constexpr size_t kMostFds = 253;

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

// receive(fd, buffer, from, fds): bytes read, 0 at the end. fds[0] says how many descriptors came; they follow it. What
// does not fit is closed by the kernel, and fds[0] is -1.
napi_value Receive(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  size_t length, room;
  uint8_t* buffer = args.bytes(1, &length);
  int32_t* fds = reinterpret_cast<int32_t*>(args.bytes(3, &room));
  const size_t from = static_cast<size_t>(args.number(2));
  if (!buffer || !fds || room < 8 || from >= length) return args.answer(-EINVAL);
  size_t most = room / 4 - 1;
  if (most > kMostFds) most = kMostFds;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec part = {buffer + from, length - from};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(most * sizeof(int));
  const ssize_t got = recvmsg(static_cast<int>(args.number(0)), &message, MSG_CMSG_CLOEXEC);
  const int error = errno;
  fds[0] = 0;
  if (got < 0) return args.answer(-error);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      // CMSG_SPACE rounds up, so one more than was asked for may come.
      if (static_cast<size_t>(fds[0]) < most)
        fds[1 + fds[0]++] = fd;
      else {
        close(fd);
        message.msg_flags |= MSG_CTRUNC;
      }
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (int32_t i = 0; i < fds[0]; i++) close(fds[1 + i]);
    fds[0] = -1;
  }
  return args.answer(got);
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
