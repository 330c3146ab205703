{
  "targets": [
    {
      "target_name": "vfio_user",
      "sources": ["native/addon.cc", "native/sockets.cc", "native/memory.cc", "native/poll.cc"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-O2"],
      "cflags_cc!": ["-fno-exceptions"],
      "defines": ["NAPI_VERSION=8"]
    },
    {
      "target_name": "answerer",
      "type": "executable",
      "sources": ["native/answerer.cc"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-O2"]
    }
  ]
}
