/* A driver of CUDA with two devices. Their memory is the host's; a launch runs nothing, and says on standard error what would run: in which context
 * and stream, and on which memory, of which the first is memory 1. So do copies and what comes and goes in a stream's order. FAKE_CUDA is what goes
 * wrong: `none` finds no device, `memory` has no memory, or no more than FAKE_CUDA_BYTES, `module` takes no module, `launch` no launch, `pools` has no pools of memory. */
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
  *value = which == 16 ? (device == 70 ? 132 : 108) : which == 8 ? 49152 : which == 75 ? (device == 70 ? 9 : 8) : which == 115 ? !fails("pools") : 0;
  return 0;
}

/* ---- contexts */

struct context { int number, device; };
static struct context contexts[8], *current[16];
static int context_count, depth;

int cuCtxPushCurrent_v2(void *at) { return at ? (current[depth++] = at, 0) : 201; }
int cuCtxPopCurrent_v2(void **at) { return depth ? (*at = current[--depth], 0) : 201; }
int cuCtxCreate_v2(void **at, unsigned flags, int device) {
  fprintf(stderr, "context of device %d\n", device);
  contexts[context_count] = (struct context){context_count + 1, device};
  return *at = &contexts[context_count++], cuCtxPushCurrent_v2(*at);
}
int cuCtxDestroy_v2(void *at) { return 0; }
int cuCtxGetApiVersion(void *at, unsigned *version) { return *version = 12040, 0; }
int cuCtxGetDevice(int *device) { return depth ? (*device = current[depth - 1]->device, 0) : 201; }
int cuCtxSynchronize(void) { return fprintf(stderr, "wait for all\n"), 0; }
int cuStreamSynchronize(void *stream) { return fprintf(stderr, "wait for stream %d\n", (int)(intptr_t)stream), 0; }
int cuProfilerStop(void) { return 0; }
static int number_of_context(void) { return depth ? current[depth - 1]->number : 0; }

/* ---- memory */

static struct memory { uint64_t at; size_t bytes; struct context *context; } memories[1024];
static int memory_count;
static size_t used;

static struct memory *memory_at(uint64_t at) {
  for (int n = memory_count; n-- > 0;)
    if (memories[n].bytes && at >= memories[n].at && at < memories[n].at + memories[n].bytes)
      return &memories[n];
  return NULL;
}
static const char *name_of(uint64_t at) {
  static char names[4][40];
  static int next;
  const struct memory *memory = memory_at(at);
  char *name = names[next++ % 4];
  return memory ? (snprintf(name, sizeof names[0], "memory %d + %d", (int)(memory - memories) + 1, (int)(at - memory->at)), name) : "no memory";
}

int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
  const char *most = getenv("FAKE_CUDA_BYTES");
  if (memory_count == 1024 || used + bytes > (most ? strtoull(most, NULL, 10) : fails("memory") ? 0 : (size_t)1 << 31))
    return 2;
  used += bytes;
  *at = (uint64_t)(uintptr_t)calloc(bytes, 1);
  memories[memory_count++] = (struct memory){*at, bytes, depth ? current[depth - 1] : NULL};
  return 0;
}
int cuMemFree_v2(uint64_t at) {
  used -= memory_at(at)->bytes;
  memory_at(at)->bytes = 0;
  return free((void *)(uintptr_t)at), 0;
}
int cuMemAllocAsync(uint64_t *at, size_t bytes, void *stream) {
  const int error = cuMemAlloc_v2(at, bytes);
  fprintf(stderr, "%zu bytes of the pool in stream %d: %s\n", bytes, (int)(intptr_t)stream, error ? "none" : name_of(*at));
  return error;
}
int cuMemFreeAsync(uint64_t at, void *stream) {
  fprintf(stderr, "back to the pool in stream %d: %s\n", (int)(intptr_t)stream, name_of(at));
  return cuMemFree_v2(at);
}
int cuPointerGetAttribute(void *to, int which, uint64_t at) { return memory_at(at) ? (*(void **)to = memory_at(at)->context, 0) : 1; }
int cuMemGetAddressRange_v2(uint64_t *base, size_t *bytes, uint64_t at) {
  return memory_at(at) ? (*base = memory_at(at)->at, *bytes = memory_at(at)->bytes, 0) : 1;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
  fprintf(stderr, "copy of %zu bytes to %s\n", bytes, name_of(to));
  return memcpy((void *)(uintptr_t)to, from, bytes), 0;
}
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
  fprintf(stderr, "copy of %zu bytes from %s\n", bytes, name_of(from));
  return memcpy(to, (void *)(uintptr_t)from, bytes), 0;
}
int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) { return memcpy((void *)(uintptr_t)to, (void *)(uintptr_t)from, bytes), 0; }
static int in_stream(void *stream) { return fprintf(stderr, "in stream %d ", (int)(intptr_t)stream); }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) { return in_stream(stream), cuMemcpyHtoD_v2(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) { return in_stream(stream), cuMemcpyDtoH_v2(to, from, bytes); }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) { return in_stream(stream), cuMemcpyDtoD_v2(to, from, bytes); }
int cuMemcpy3D_v2(const void *copy) { return 1; }

/* ---- modules: a function is where its parameters stand in the text */

int cuModuleLoadData(void **at, const void *text) { return *at = (void *)text, 0; }
int cuModuleLoadDataEx(void **at, const char *text, unsigned count, const int *options, void **values) {
  for (unsigned n = 0; n < count; ++n)
    if (options[n] == 0)   /* CU_JIT_MAX_REGISTERS */
      fprintf(stderr, "module for sm_80: %s, at most %u registers\n", strstr(text, ".target sm_80") ? "yes" : "no", (unsigned)(uintptr_t)values[n]);
  return *at = (void *)text, fails("module") ? 218 : 0;
}
int cuModuleUnload(void *at) { return 0; }
int cuModuleGetFunction(void **at, void *from, const char *name) {
  char entry[300];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  char *found = strstr(from, entry);
  return found ? (*at = found, 0) : 500;
}

int cuLaunchKernel(const char *what, unsigned bx, unsigned by, unsigned bz, unsigned tx, unsigned ty, unsigned tz, unsigned shared, void *stream, void **arguments, void **more) {
  fprintf(stderr, "launch of %u x %u x %u blocks of %u x %u x %u threads with %u bytes in context %d stream %d on", bx, by, bz, tx, ty, tz, shared, number_of_context(),
          (int)(intptr_t)stream);
  const char *end = strchr(what, ')');
  int n = 0;
  for (const char *at = what; (at = strstr(at, ".param ")) && at < end; at += 7, ++n) {
    uint64_t value;
    if (strncmp(at + 7, ".u64", 4) && strncmp(at + 7, ".b64", 4))
      continue;
    memcpy(&value, arguments[n], 8);
    if (memory_at(value))
      fprintf(stderr, " (%s)", name_of(value));
  }
  fprintf(stderr, "\n");
  return fails("launch") ? 719 : 0;
}
