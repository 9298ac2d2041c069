/* Kernels on a GPU through Halide's runtime: memory, launches, the way in and out. */
#include "runtime/device/launch.h"
#include "runtime/kernel/internal.h"

#include "HalideRuntime.h"
#include "HalideRuntimeCuda.h"
#include "HalideRuntimeOpenCL.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a memref of device code points to. */
struct fovea_device_memory {
  struct halide_buffer_t whole;    /* in units as large as its size allows */
  struct halide_dimension_t dimension;
  int64_t bytes;
  struct fovea_device_memory *next, **link;   /* all of this call */
};

/* What a call in progress knows. */
struct fovea_device_call {
  const struct halide_device_interface_t *interface;
  const char *device, *kernel;
  struct fovea_device_memory *memory;
  int32_t status;
  jmp_buf escape;
};
static _Thread_local struct fovea_device_call *this_call;
static _Thread_local char complaint[256];   /* of Halide's runtime */

/* ---- what Halide's runtime asks of its surroundings */

void halide_error(void *user_context, const char *message) {
  (void)user_context;
  if (complaint[0])
    return;   /* the first one says most */
  snprintf(complaint, sizeof complaint, "%s", message);
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
  if (!library && strcmp(name, "libOpenCL.so") == 0)
    library = dlopen("libOpenCL.so.1", RTLD_LAZY);
  if (!library && strcmp(name, "libcuda.so") == 0)
    library = dlopen("libcuda.so.1", RTLD_LAZY);
  if (!library && !complaint[0])
    snprintf(complaint, sizeof complaint, "%s.1 cannot be loaded", name);
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

/* ---- failures */

static void give_up(int32_t status, const char *what) __attribute__((noreturn));
static void give_up(int32_t status, const char *what) {
  struct fovea_device_call *call = this_call;
  call->status = fovea_failf(status, call->kernel, "%s%s%s", what, complaint[0] ? ": " : "", complaint);
  longjmp(call->escape, 1);
}

static void out_of_memory(int64_t bytes) {
  char what[96];
  snprintf(what, sizeof what, "out of memory: no %lld bytes on the %s device", (long long)bytes, this_call->device);
  give_up(FOVEA_OUT_OF_MEMORY, what);
}

static void must(int error, const char *what) {
  if (error)
    give_up(FOVEA_DEVICE_FAILED, what);
}

/* Of Halide's runtime, declared in none of its headers. */
int halide_release_cl_context(void *user_context);
void *halide_cuda_get_symbol(void *user_context, const char *name);

/* Halide's runtime calls it instead of abort, where it finds that something failed before and nobody looked: without assertions a nest goes on to its
 * launch when its module was not loaded. It is inside of its own lock, for OpenCL, or has put its context above the caller's. */
void fovea_device_abort(void) {
  if (!this_call)
    abort();
  if (this_call->interface == halide_cuda_device_interface()) {
    void *context;
    int (*pop)(void **) = (int (*)(void **))halide_cuda_get_symbol(NULL, "cuCtxPopCurrent_v2");
    if (pop)
      pop(&context);
  } else {
    halide_release_cl_context(NULL);
  }
  give_up(FOVEA_DEVICE_FAILED, "the device failed");
}

/* Is there a device? Halide's runtime aborts without the library, and would find no device where it needs its first memory. */
static void find_device(int kind) {
  static const char *const libraries[] = {[FOVEA_DEVICE_OPENCL] = "libOpenCL.so", [FOVEA_DEVICE_CUDA] = "libcuda.so"};
  static _Atomic int found[2];
  if (found[kind])
    return;
  char what[96];
  void *library = halide_load_library(libraries[kind]);
  complaint[0] = 0;
  snprintf(what, sizeof what, "there is no %s device: %s.1 is not installed", this_call->device, libraries[kind]);
  if (!library)
    give_up(FOVEA_DEVICE_FAILED, what);
  dlclose(library);
  int major = 0, minor = 0, error = this_call->interface->compute_capability(NULL, &major, &minor);
  snprintf(what, sizeof what, "there is no %s device", this_call->device);
  if (error || major == 0)   /* 0: there is no driver */
    give_up(FOVEA_DEVICE_FAILED, what);
  found[kind] = 1;
}

/* ---- memory */

/* One axis of the largest units whose number fits an int32. */
static int shape(struct fovea_device_memory *memory, int64_t bytes) {
  int size = 1;
  if (bytes < 1)
    bytes = 1;
  while (bytes / size > INT32_MAX && size < 8)
    size *= 2;
  bytes = (bytes + size - 1) / size * size;
  if (bytes / size > INT32_MAX)
    return 0;
  memory->bytes = bytes;
  memory->dimension.min = 0;
  memory->dimension.extent = (int32_t)(bytes / size);
  memory->dimension.stride = 1;
  memory->whole.type.code = halide_type_uint;
  memory->whole.type.bits = (uint8_t)(8 * size);
  memory->whole.type.lanes = 1;
  memory->whole.dimensions = 1;
  memory->whole.dim = &memory->dimension;
  return 1;
}

void *fovea_rt_device_alloc(int64_t bytes) {
  struct fovea_device_call *call = this_call;
  struct fovea_device_memory *memory = calloc(1, sizeof *memory);
  if (!memory)
    out_of_memory(bytes);
  complaint[0] = 0;
  if (!shape(memory, bytes) || halide_device_malloc(NULL, &memory->whole, call->interface)) {
    free(memory);
    out_of_memory(bytes);
  }
  memory->next = call->memory;
  memory->link = &call->memory;
  if (memory->next)
    memory->next->link = &memory->next;
  call->memory = memory;
  return memory;
}

void fovea_rt_device_free(void *at) {
  struct fovea_device_memory *memory = at;
  *memory->link = memory->next;
  if (memory->next)
    memory->next->link = memory->link;
  halide_device_free(NULL, &memory->whole);
  free(memory);
}

/* `host` has room for memory->bytes. */
static void to_device(struct fovea_device_memory *memory, void *host) {
  memory->whole.host = host;
  memory->whole.flags = halide_buffer_flag_host_dirty;
  complaint[0] = 0;
  must(halide_copy_to_device(NULL, &memory->whole, this_call->interface), "cannot copy to the device");
  memory->whole.host = NULL;
  memory->whole.flags = 0;
}

static void to_host(struct fovea_device_memory *memory, void *host) {
  memory->whole.host = host;
  memory->whole.flags = halide_buffer_flag_device_dirty;
  complaint[0] = 0;
  must(halide_copy_to_host(NULL, &memory->whole), "cannot copy from the device");
  memory->whole.host = NULL;
  memory->whole.flags = 0;
}

int64_t fovea_rt_device_read(void *at, int64_t element, int64_t bytes) {
  const struct fovea_device_memory *memory = at;
  int64_t value = 0;
  struct halide_dimension_t all = {.extent = (int32_t)(memory->bytes / bytes), .stride = 1}, one = {.min = (int32_t)element, .extent = 1, .stride = 1};
  struct halide_buffer_t from = memory->whole, to = {.host = (uint8_t *)&value, .dimensions = 1, .dim = &one};
  from.type.bits = (uint8_t)(8 * bytes);
  from.dim = &all;
  to.type = from.type;
  complaint[0] = 0;
  must(halide_buffer_copy(NULL, &from, NULL, &to), "cannot copy from the device");
  return value;
}

/* ---- launches */

void fovea_rt_launch(int (*nest)(void **), const int64_t *words, int64_t count) {
  /* As of lowering/halide/NestSpec.h. */
  static const struct halide_type_t types[] = {{halide_type_float, 32, 1}, {halide_type_uint, 16, 1}, {halide_type_uint, 16, 1}, {halide_type_int, 32, 1},
                                               {halide_type_int, 64, 1},   {halide_type_int, 8, 1},   {halide_type_uint, 8, 1}};
  void *arguments[count / 2];
  struct halide_buffer_t buffers[count / 2];
  if (words[1] == 0)
    return;
  for (int64_t n = 0; n < count / 2; ++n) {
    int64_t kind = words[2 * n] & 255, value = words[2 * n + 1];
    if (kind == FOVEA_LAUNCH_I32 && value != (int32_t)value)
      give_up(FOVEA_TOO_LARGE, "a temporary has more elements than an i32 can count");
    arguments[n] = kind == FOVEA_LAUNCH_BUFFER ? (void *)&buffers[n] : (void *)&words[2 * n + 1];
    if (kind != FOVEA_LAUNCH_BUFFER)
      continue;
    buffers[n] = ((struct fovea_device_memory *)(uintptr_t)value)->whole;
    buffers[n].type = types[words[2 * n] >> 8 & 255];
  }
  complaint[0] = 0;
  int error = nest(arguments);
  must(error || complaint[0], "the device failed");   /* without Halide's assertions a nest returns 0 whatever its runtime says */
}

/* ---- the way in and out */

/* Copies between a tensor and a dense row-major block of the same shape. */
static void copy_axes(char *block, int64_t block_bytes, char *tensor, const int64_t *sizes, const int64_t *strides, int rank, int64_t size, int out) {
  if (rank == 0) {
    memcpy(out ? tensor : block, out ? block : tensor, (size_t)size);
    return;
  }
  if (rank == 1 && strides[0] == 1) {
    memcpy(out ? tensor : block, out ? block : tensor, (size_t)(sizes[0] * size));
    return;
  }
  int64_t part = sizes[0] ? block_bytes / sizes[0] : 0;
  for (int64_t n = 0; n < sizes[0]; ++n)
    copy_axes(block + n * part, part, tensor + n * strides[0] * size, sizes + 1, strides + 1, rank - 1, size, out);
}

struct argument {
  int64_t *memref;
  char *host;              /* its first element */
  int64_t *strides;        /* of the tensor as given */
  int64_t bytes, size;
  int rank;
};

static void run(const struct fovea_call *call, int32_t (*impl)(void **), void **args) {
  struct argument *arguments = fovea_alloc(call->count, sizeof *arguments);
  for (int k = 0; k < call->count; ++k) {
    const int32_t *described = fovea_argument(call, k);
    struct argument *a = &arguments[k];
    a->rank = described[FOVEA_A_RANK];
    if (a->rank < 0)
      continue;
    a->memref = args[k];
    a->size = fovea_element_size(described[FOVEA_A_TYPE]);
    a->strides = fovea_alloc(a->rank, 8);
    a->host = (char *)(uintptr_t)a->memref[FOVEA_M_ALIGNED] + a->memref[FOVEA_M_OFFSET] * a->size;
    int64_t *strides = fovea_strides(a->memref, a->rank), elements = 1;
    memcpy(a->strides, strides, (size_t)a->rank * 8);
    for (int axis = a->rank; axis-- > 0;) {
      strides[axis] = elements;
      elements *= a->memref[FOVEA_M_SIZES + axis];
    }
    a->bytes = elements * a->size;
    struct fovea_device_memory *memory = fovea_rt_device_alloc(a->bytes);
    if (k < call->parameters && a->bytes) {
      int64_t mark = fovea_arena_mark();
      char *block = fovea_alloc(memory->bytes, 1);
      copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 0);
      to_device(memory, block);
      fovea_arena_release(mark);
    }
    a->memref[FOVEA_M_ALLOCATED] = a->memref[FOVEA_M_ALIGNED] = (int64_t)(uintptr_t)memory;
    a->memref[FOVEA_M_OFFSET] = 0;
  }
  this_call->status = impl(args);
  for (int k = call->parameters; k < call->count && !this_call->status; ++k) {
    struct argument *a = &arguments[k];
    if (!a->bytes)
      continue;
    struct fovea_device_memory *memory = (struct fovea_device_memory *)(uintptr_t)a->memref[FOVEA_M_ALIGNED];
    int64_t mark = fovea_arena_mark();
    char *block = fovea_alloc(memory->bytes, 1);
    to_host(memory, block);
    copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 1);
    fovea_arena_release(mark);
  }
}

int32_t fovea_rt_on_device(int32_t kind, const int32_t *words, const char *strings, int32_t (*impl)(void **), void **args) {
  struct fovea_thread *const thread = &fovea_this_thread;
  jmp_buf host_escape, *const outer_escape = thread->escape;
  struct fovea_device_call *const outer = this_call, here = {
    .interface = kind == FOVEA_DEVICE_CUDA ? halide_cuda_device_interface() : halide_opencl_device_interface(),
    .device = kind == FOVEA_DEVICE_CUDA ? "CUDA" : "OpenCL",
    .kernel = strings + words[FOVEA_D_NAME],
  };
  int parameters = words[FOVEA_D_PARAMETERS], count = parameters + words[FOVEA_D_RESULTS];
  struct fovea_call described = {words, strings, args, count, parameters, NULL, NULL};
  volatile int no_host_memory = 0;
  this_call = &here;
  if (_setjmp(host_escape)) {
    no_host_memory = 1;
  } else {
    thread->escape = &host_escape;
    if (_setjmp(here.escape) == 0) {
      find_device(kind);
      run(&described, impl, args);
    }
  }
  thread->escape = outer_escape;
  while (here.memory)
    fovea_rt_device_free(here.memory);
  this_call = outer;
  if (no_host_memory)
    fovea_escape(thread->wanted);
  return here.status;
}
