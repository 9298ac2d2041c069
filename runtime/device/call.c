/* The way of a call to the device and back. */
#include "runtime/device/internal.h"

#include "HalideRuntimeCuda.h"
#include "HalideRuntimeOpenCL.h"

#include <string.h>

_Thread_local struct fovea_device_call *fovea_device_this_call;

void fovea_device_give_up(int32_t status, const char *what) {
  struct fovea_device_call *call = fovea_device_this_call;
  const char *complaint = fovea_device_complaint;
  call->status = fovea_failf(status, call->name, "%s%s%s", what, complaint[0] ? ": " : "", complaint);
  longjmp(call->escape, 1);
}

void fovea_device_must(int error, const char *what) {
  if (error)
    fovea_device_give_up(FOVEA_DEVICE_FAILED, what);
}

int32_t fovea_device_enter(int kind, const char *name, int32_t (*body)(void *), void *context) {
  struct fovea_thread *const thread = &fovea_this_thread;
  jmp_buf host_escape, *const outer_escape = thread->escape;
  struct fovea_device_call *const outer = fovea_device_this_call, here = {
    .interface = kind == FOVEA_DEVICE_CUDA ? halide_cuda_device_interface() : halide_opencl_device_interface(),
    .device = kind == FOVEA_DEVICE_CUDA ? "CUDA" : "OpenCL",
    .name = name,
  };
  volatile int no_host_memory = 0;
  fovea_device_this_call = &here;
  if (_setjmp(host_escape)) {
    no_host_memory = 1;
  } else {
    thread->escape = &host_escape;
    if (_setjmp(here.escape) == 0) {
      fovea_device_find(kind);
      here.status = body(context);
    }
  }
  thread->escape = outer_escape;
  while (here.memory)
    fovea_rt_device_free(here.memory);
  fovea_device_this_call = outer;
  if (no_host_memory)
    fovea_escape(thread->wanted);
  return here.status;
}

/* ---- kernels: their tensors are the host's */

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

struct invocation {
  struct fovea_call call;
  int32_t (*impl)(void **);
};

static int32_t run(void *context) {
  const struct invocation *invocation = context;
  const struct fovea_call *call = &invocation->call;
  struct argument *arguments = fovea_alloc(call->count, sizeof *arguments);
  for (int k = 0; k < call->count; ++k) {
    const int32_t *described = fovea_argument(call, k);
    struct argument *a = &arguments[k];
    a->rank = described[FOVEA_A_RANK];
    if (a->rank < 0)
      continue;
    a->memref = call->arguments[k];
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
      char *block = fovea_alloc(a->bytes, 1);
      copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 0);
      fovea_device_write(memory, 0, block, a->bytes);
      fovea_arena_release(mark);
    }
    a->memref[FOVEA_M_ALLOCATED] = a->memref[FOVEA_M_ALIGNED] = (int64_t)(uintptr_t)memory;
    a->memref[FOVEA_M_OFFSET] = 0;
  }
  int32_t status = invocation->impl(call->arguments);
  for (int k = call->parameters; k < call->count && !status; ++k) {
    struct argument *a = &arguments[k];
    if (!a->bytes)
      continue;
    int64_t mark = fovea_arena_mark();
    char *block = fovea_alloc(a->bytes, 1);
    fovea_device_read((void *)(uintptr_t)a->memref[FOVEA_M_ALIGNED], 0, block, a->bytes);
    copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 1);
    fovea_arena_release(mark);
  }
  return status;
}

int32_t fovea_rt_on_device(int32_t kind, const int32_t *words, const char *strings, int32_t (*impl)(void **), void **args) {
  int parameters = words[FOVEA_D_PARAMETERS], count = parameters + words[FOVEA_D_RESULTS];
  struct invocation invocation = {{words, strings, args, count, parameters, NULL, NULL}, impl};
  return fovea_device_enter(kind, strings + words[FOVEA_D_NAME], run, &invocation);
}
