// Being told when a descriptor can be read or written: libuv's own poll, for descriptors that Node did not open.
#include <uv.h>

#include "calls.h"

namespace vfio_user {

// It goes when libuv and JavaScript have both let go of it.
struct Watcher {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback = nullptr;
  napi_async_context context = nullptr;
  bool closed = false;
  int users = 2;
};

static void LetGo(Watcher* watcher) {
  if (--watcher->users == 0) delete watcher;
}

static void Free(uv_handle_t* handle) { LetGo(static_cast<Watcher*>(handle->data)); }

static void Stop(Watcher* watcher) {
  if (watcher->closed) return;
  watcher->closed = true;
  napi_delete_reference(watcher->env, watcher->callback);
  napi_async_destroy(watcher->env, watcher->context);
  uv_close(reinterpret_cast<uv_handle_t*>(&watcher->poll), Free);
}

static void Shutdown(void* data) {
  Watcher* watcher = static_cast<Watcher*>(data);
  watcher->closed = true;
  uv_poll_stop(&watcher->poll);
}

static void OnReady(uv_poll_t* poll, int status, int events) {
  Watcher* watcher = static_cast<Watcher*>(poll->data);
  if (watcher->closed) return;
  napi_handle_scope scope;
  napi_open_handle_scope(watcher->env, &scope);
  napi_value callback, receiver, argument, result;
  napi_get_reference_value(watcher->env, watcher->callback, &callback);
  napi_get_global(watcher->env, &receiver);
  napi_create_int32(watcher->env, status < 0 ? status : events, &argument);
  const napi_status called = napi_make_callback(watcher->env, watcher->context, receiver, callback, 1, &argument, &result);
  if (called == napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(watcher->env, &error);
    napi_fatal_exception(watcher->env, error);
  }
  napi_close_handle_scope(watcher->env, scope);
}

static void Forgotten(napi_env env, void* data, void*) {
  Watcher* watcher = static_cast<Watcher*>(data);
  if (!watcher->closed) {
    napi_remove_env_cleanup_hook(env, Shutdown, watcher);
    Stop(watcher);
  }
  LetGo(watcher);
}

static Watcher* Of(napi_env env, napi_value value) {
  void* data = nullptr;
  return napi_get_value_external(env, value, &data) == napi_ok ? static_cast<Watcher*>(data) : nullptr;
}

// watch(fd, events, callback): 1 readable, 2 writable; the callback gets those that are there, or a negative errno. Answers
// what `rewatch` and `unwatch` take, or a negative errno. With 4 it does not keep the process alive.
napi_value Watch(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return args.answer(UV_ENOSYS);
  Watcher* watcher = new Watcher;
  watcher->env = env;
  const int wrong = uv_poll_init(loop, &watcher->poll, static_cast<int>(args.number(0)));
  if (wrong) {
    delete watcher;
    return args.answer(wrong);
  }
  watcher->poll.data = watcher;
  napi_value name, resource, external;
  napi_create_object(env, &resource);
  napi_create_string_utf8(env, "vfio-user", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &watcher->context);
  napi_create_reference(env, args.values[2], 1, &watcher->callback);
  const int events = static_cast<int>(args.number(1));
  if (events & 4) uv_unref(reinterpret_cast<uv_handle_t*>(&watcher->poll));
  uv_poll_start(&watcher->poll, events & 3, OnReady);
  napi_add_env_cleanup_hook(env, Shutdown, watcher);
  napi_create_external(env, watcher, Forgotten, nullptr, &external);
  return external;
}

// rewatch(watcher, events): others from now on; 0 pauses.
napi_value Rewatch(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Watcher* watcher = Of(env, args.values[0]);
  if (!watcher || watcher->closed) return args.answer(UV_EBADF);
  const int events = static_cast<int>(args.number(1)) & 3;
  return args.answer(events ? uv_poll_start(&watcher->poll, events, OnReady) : uv_poll_stop(&watcher->poll));
}

// unwatch(watcher): for good; the descriptor may be closed right after.
napi_value Unwatch(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Watcher* watcher = Of(env, args.values[0]);
  if (!watcher || watcher->closed) return args.answer(UV_EBADF);
  napi_remove_env_cleanup_hook(env, Shutdown, watcher);
  Stop(watcher);
  return args.answer(0);
}

}  // namespace vfio_user
