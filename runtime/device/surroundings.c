/* What Halide's runtime asks of its surroundings: messages, libraries, the environment, and a way out where it would abort. */
#include "runtime/device/driver.h"
#include "runtime/device/internal.h"
#include "runtime/include/fovea/device.h"

#include "HalideRuntimeCuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local char fovea_device_complaint[256];

void halide_error(void *user_context, const char *message) {
  (void)user_context;
  char *complaint = fovea_device_complaint;
  if (complaint[0])
    return;   /* the first one says most */
  snprintf(complaint, sizeof fovea_device_complaint, "%s", message);
  size_t length = strlen(complaint);
  while (length && complaint[length - 1] == '\n')
    complaint[--length] = 0;
  for (char *line = complaint; (line = strchr(line, '\n'));)
    *line = ' ';
  for (char *colon = complaint; (colon = strstr(colon, "error: "));)   /* a tool that sees "error: " takes the sentence for a compiler's */
    memmove(colon + 5, colon + 6, strlen(colon + 6) + 1);
}

void halide_print(void *user_context, const char *message) {
  (void)user_context;
  (void)message;
}

/* The loader of OpenCL and CUDA: libraries without a version in their names belong to packages for developers. */
void *halide_load_library(const char *name) {
  void *library = dlopen(name, RTLD_LAZY);
  char versioned[32];
  for (size_t kind = 0; kind < sizeof fovea_device_targets / sizeof *fovea_device_targets; ++kind)
    if (!library && strcmp(name, fovea_device_targets[kind].library) == 0) {
      snprintf(versioned, sizeof versioned, "%s.1", name);
      library = dlopen(versioned, RTLD_LAZY);
    }
  if (!library && !fovea_device_complaint[0])
    snprintf(fovea_device_complaint, sizeof fovea_device_complaint, "%s.1 cannot be loaded", name);
  return library;
}

/* Halide's runtime calls it instead of getenv. Without this variable it lets CUDA's driver give a thread 64 registers and spill the rest; a block of
 * ours has at most 256 threads, for which 255 registers are there on every GPU from 5.0 on. */
char *fovea_device_getenv(const char *name) {
  char *value = getenv(name);
  return value || strcmp(name, "HL_CUDA_JIT_MAX_REGISTERS") != 0 ? value : "255";
}

void *halide_get_library_symbol(void *library, const char *name) { return dlsym(library, name); }
void *halide_get_symbol(const char *name) { return dlsym(RTLD_DEFAULT, name); }

/* Halide's runtime calls it instead of abort, where it finds that something failed before and nobody looked: without assertions a nest goes on to its
 * launch when its module was not loaded. It is inside of its own lock, for OpenCL, or has put its context above the caller's. */
void fovea_device_abort(void) {
  if (!fovea_device_this_call)
    abort();
  if (fovea_device_this_call->interface == halide_cuda_device_interface()) {
    void *context;
    if (fovea_cuda())
      fovea_cuda()->cuCtxPopCurrent_v2(&context);
  } else {
    halide_release_cl_context(NULL);
  }
  fovea_device_give_up(FOVEA_DEVICE_FAILED, "the device failed");
}

/* Halide's runtime aborts without the library, and would find no device where it needs its first memory. */
void fovea_device_find(int kind) {
  static _Atomic int found[2][2];   /* in a context of our own, and in a caller's */
  const int given = fovea_device_stream(fovea_device_targets[kind].dlpack)[FOVEA_STREAM_CONTEXT] != NULL;
  if (found[kind][given])
    return;
  const struct fovea_device_call *call = fovea_device_this_call;
  const char *name = fovea_device_targets[kind].library;
  char what[96];
  void *library = halide_load_library(name);
  fovea_device_try();
  snprintf(what, sizeof what, "there is no %s device: %s.1 is not installed", call->device, name);
  if (!library)
    fovea_device_give_up(FOVEA_DEVICE_FAILED, what);
  dlclose(library);
  int major = 0, minor = 0, error = call->interface->compute_capability(NULL, &major, &minor);
  snprintf(what, sizeof what, "there is no %s device", call->device);
  if (error || major == 0)   /* 0: there is no driver */
    fovea_device_give_up(FOVEA_DEVICE_FAILED, what);
  found[kind][given] = 1;
}
