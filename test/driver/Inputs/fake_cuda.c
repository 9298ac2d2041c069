/* A driver of CUDA with two devices. Their memory is the host's; a launch runs nothing, and says on standard error what would run. FAKE_CUDA is what goes
 * wrong: `none` finds no device, `memory` has no memory, `module` takes no module, `launch` no launch. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fails(const char *what) {
  const char *wanted = getenv("FAKE_CUDA");
  return wanted && strcmp(wanted, what) == 0;
}

int cuInit(unsigned flags) {
  printf("noise of a driver\n");
  fflush(stdout);
  return fails("none") ? 100 : 0;
}
int cuDriverGetVersion(int *version) { return *version = 12040, 0; }
int cuDeviceGetCount(int *count) { return *count = 2, 0; }
int cuDeviceGet(int *device, int n) { return *device = 70 + n, 0; }
int cuDeviceGetName(char *name, int size, int device) { return snprintf(name, (size_t)size, "Fake %d", device), 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = device == 70 ? (size_t)24 << 30 : (size_t)80 << 30, 0; }
int cuDeviceGetAttribute(int *value, int which, int device) {
  *value = which == 16 ? (device == 70 ? 132 : 108) : which == 8 ? 49152 : which == 75 ? (device == 70 ? 9 : 8) : 0;
  return 0;
}

static char context, module, function;
int cuCtxCreate_v2(void **at, unsigned flags, int device) {
  fprintf(stderr, "context of device %d\n", device);
  return *at = &context, 0;
}
int cuCtxDestroy_v2(void *at) { return 0; }
int cuCtxGetApiVersion(void *at, unsigned *version) { return *version = 12040, 0; }
int cuCtxGetDevice(int *device) { return *device = 70, 0; }
int cuCtxPushCurrent_v2(void *at) { return 0; }
int cuCtxPopCurrent_v2(void **at) { return *at = &context, 0; }
int cuCtxSynchronize(void) { return 0; }
int cuStreamSynchronize(void *stream) { return 0; }
int cuProfilerStop(void) { return 0; }
int cuPointerGetAttribute(void *to, int which, uint64_t at) { return 0; }

int cuModuleLoadData(void **at, const void *text) { return *at = &module, 0; }
int cuModuleLoadDataEx(void **at, const char *text, unsigned count, const int *options, void **values) {
  for (unsigned n = 0; n < count; ++n)
    if (options[n] == 0)   /* CU_JIT_MAX_REGISTERS */
      fprintf(stderr, "module for sm_80: %s, at most %u registers\n", strstr(text, ".target sm_80") ? "yes" : "no", (unsigned)(uintptr_t)values[n]);
  return *at = &module, fails("module") ? 218 : 0;
}
int cuModuleUnload(void *at) { return 0; }
int cuModuleGetFunction(void **at, void *from, const char *name) { return *at = &function, 0; }

int cuMemAlloc_v2(uint64_t *at, size_t bytes) { return fails("memory") ? 2 : (*at = (uint64_t)(uintptr_t)calloc(bytes, 1), 0); }
int cuMemFree_v2(uint64_t at) { return free((void *)(uintptr_t)at), 0; }
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) { return memcpy((void *)(uintptr_t)to, from, bytes), 0; }
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) { return memcpy(to, (void *)(uintptr_t)from, bytes), 0; }
int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) { return memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes), 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) { return cuMemcpyHtoD_v2(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) { return cuMemcpyDtoH_v2(to, from, bytes); }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) { return cuMemcpyDtoD_v2(to, from, bytes); }
int cuMemcpy3D_v2(const void *copy) { return 1; }

int cuLaunchKernel(void *what, unsigned bx, unsigned by, unsigned bz, unsigned tx, unsigned ty, unsigned tz, unsigned shared, void *stream, void **arguments, void **more) {
  fprintf(stderr, "launch of %u x %u x %u blocks of %u x %u x %u threads with %u bytes\n", bx, by, bz, tx, ty, tz, shared);
  return fails("launch") ? 719 : 0;
}
