// The functions of the addon, by file; each answers a number, negative errnos included, or an object. None throws for
// what a kernel refused: TypeScript turns errnos into what they mean there.
#pragma once
#include <node_api.h>

#include <cstddef>
#include <cstdint>

namespace vfio_user {

// Arguments of a call. Numbers that are missing or none are 0.
struct Arguments {
  napi_env env;
  size_t count = 6;
  napi_value values[6];

  Arguments(napi_env env, napi_callback_info info) : env(env) {
    for (auto& value : values) value = nullptr;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  int64_t number(size_t i) const;
  // Bytes of a typed array: pointer and length; null when it is none.
  uint8_t* bytes(size_t i, size_t* length) const;
  napi_value answer(int64_t number) const;
};

napi_value Listen(napi_env, napi_callback_info);
napi_value Accept(napi_env, napi_callback_info);
napi_value Connect(napi_env, napi_callback_info);
napi_value Receive(napi_env, napi_callback_info);
napi_value Next(napi_env, napi_callback_info);
napi_value Send(napi_env, napi_callback_info);
napi_value Close(napi_env, napi_callback_info);
napi_value Map(napi_env, napi_callback_info);
napi_value Peek(napi_env, napi_callback_info);
napi_value Poke(napi_env, napi_callback_info);
napi_value Unmap(napi_env, napi_callback_info);
napi_value Mapped(napi_env, napi_callback_info);
napi_value Faults(napi_env, napi_callback_info);
napi_value Memfd(napi_env, napi_callback_info);
napi_value Truncate(napi_env, napi_callback_info);
napi_value Eventfd(napi_env, napi_callback_info);
napi_value EventWrite(napi_env, napi_callback_info);
napi_value EventRead(napi_env, napi_callback_info);
napi_value Watch(napi_env, napi_callback_info);
napi_value Rewatch(napi_env, napi_callback_info);
napi_value Unwatch(napi_env, napi_callback_info);

}  // namespace vfio_user
