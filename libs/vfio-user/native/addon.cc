// What Node has no words for: descriptors in messages, memory of another process, eventfds.
#include "calls.h"

namespace vfio_user {

int64_t Arguments::number(size_t i) const {
  int64_t value = 0;
  if (i < count && values[i]) napi_get_value_int64(env, values[i], &value);
  return value;
}

uint8_t* Arguments::bytes(size_t i, size_t* length) const {
  *length = 0;
  bool is = false;
  if (i >= count || !values[i] || napi_is_typedarray(env, values[i], &is) != napi_ok || !is) return nullptr;
  napi_typedarray_type type;
  size_t elements = 0;
  void* data = nullptr;
  napi_get_typedarray_info(env, values[i], &type, &elements, &data, nullptr, nullptr);
  *length = elements * (type == napi_int32_array ? 4 : 1);
  return static_cast<uint8_t*>(data);
}

napi_value Arguments::answer(int64_t number) const {
  napi_value value;
  napi_create_int64(env, number, &value);
  return value;
}

static napi_value Init(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback call;
  } calls[] = {{"listen", Listen},   {"accept", Accept},     {"connect", Connect},       {"receive", Receive},
               {"send", Send},       {"close", Close},       {"map", Map},               {"peek", Peek},
               {"poke", Poke},       {"unmap", Unmap},       {"mapped", Mapped},         {"faults", Faults},
               {"memfd", Memfd},     {"truncate", Truncate}, {"eventfd", Eventfd},       {"eventWrite", EventWrite},
               {"watch", Watch},     {"rewatch", Rewatch},   {"eventRead", EventRead},   {"unwatch", Unwatch},
               {"next", Next}};
  for (const auto& each : calls) {
    napi_value function;
    napi_create_function(env, each.name, NAPI_AUTO_LENGTH, each.call, nullptr, &function);
    napi_set_named_property(env, exports, each.name, function);
  }
  return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace vfio_user
