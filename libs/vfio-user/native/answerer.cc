// A vfio-user server that only answers: what a region read costs when nothing is behind it. For the benchmark.
//   answerer PATH   serves one client and ends with it
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr uint16_t kRegionRead = 9;
constexpr size_t kHeader = 16, kAccess = 16;

bool Whole(int fd, uint8_t* to, size_t length) {
  for (size_t at = 0; at < length;) {
    const ssize_t got = read(fd, to + at, length - at);
    if (got <= 0) return false;
    at += static_cast<size_t>(got);
  }
  return true;
}

bool Answer(int fd) {
  static uint8_t message[1 << 16];
  uint16_t command;
  uint32_t size, count = 0;
  if (!Whole(fd, message, kHeader)) return false;
  memcpy(&command, message + 2, 2);
  memcpy(&size, message + 4, 4);
  if (size < kHeader || size > 4096 || !Whole(fd, message + kHeader, size - kHeader)) return false;
  if (command == kRegionRead) {
    memcpy(&count, message + kHeader + 12, 4);
    if (count > sizeof message - kHeader - kAccess) return false;
    size = static_cast<uint32_t>(kHeader + kAccess) + count;
  }
  const uint32_t reply = 1;
  memcpy(message + 4, &size, 4);
  memcpy(message + 8, &reply, 4);
  return write(fd, message, size) == static_cast<ssize_t>(size);
}

}  // namespace

int main(int argc, char** argv) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 1) != 0) {
    perror("answerer");
    return 1;
  }
  puts("ready");
  fflush(stdout);
  const int client = accept(listener, nullptr, nullptr);
  while (client >= 0 && Answer(client)) continue;
  return 0;
}
