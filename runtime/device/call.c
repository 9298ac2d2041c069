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
    .device = fovea_device_targets[kind].words,
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

/* ---- kernels: their tensors are the host's, or on the device already */

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
  char *host;                           /* its first element */
  struct fovea_device_memory *given;    /* where it lies already; NULL: on the host */
  int64_t at;                           /* there, in bytes */
  int64_t *strides;                     /* of the tensor as given */
  int64_t bytes, size;
  int rank, copied;
};

struct invocation {
  const struct fovea_call *call;
  int32_t (*impl)(void **);
  void **args;
  const struct fovea_place *places;
};

/* A tensor on the device is passed as it lies. Of one without axes the body knows no offset: in a cl_mem it is copied unless it comes first. */
static void borrow(const struct fovea_call *call, int k, const struct fovea_place *place, struct argument *a) {
  const DLTensor *tensor = call->arguments[k];
  const int64_t low = a->memref[FOVEA_M_ALIGNED] - (int64_t)place->begin;   /* bytes before the first element */
  a->at = place->memory ? (int64_t)tensor->byte_offset : low;
  const int64_t bytes = a->at - low + (int64_t)(place->end - place->begin);
  a->given = fovea_device_borrow(place->memory ? (uint64_t)(uintptr_t)tensor->data : place->begin, bytes);
  a->copied = a->rank == 0 && a->at;
}

/* A tensor that must be sorted is checked on the host. */
static int32_t check_sorted(const struct fovea_call *call, int k, const struct argument *a, const struct fovea_place *place) {
  const int64_t mark = fovea_arena_mark(), bytes = (int64_t)(place->end - place->begin), low = a->memref[FOVEA_M_ALIGNED] - (int64_t)place->begin;
  char *block = fovea_alloc(bytes, 1);
  int64_t *there = fovea_alloc(FOVEA_M_SIZES + 2 * a->rank, 8);
  fovea_device_read(a->given, a->at - low, block, bytes);
  memcpy(there, a->memref, (size_t)(FOVEA_M_SIZES + 2 * a->rank) * 8);
  there[FOVEA_M_ALIGNED] = (int64_t)(uintptr_t)(block + low);
  int32_t status = fovea_check_sorted(call, k, there);
  fovea_arena_release(mark);
  return status;
}

/* A compact copy goes to the device, or takes the result there. Of a tensor without elements it is the zeros that a clamped read finds (layout.c). */
static struct fovea_device_memory *carry(const struct fovea_call *call, int k, struct argument *a) {
  int64_t *strides = fovea_strides(a->memref, a->rank), elements = 1;
  for (int axis = 0; axis < a->rank; ++axis)
    if (a->memref[FOVEA_M_SIZES + axis] == 0) {
      const int64_t zeros = a->memref[FOVEA_M_SIZES + a->rank - 1] * a->size;
      struct fovea_device_memory *memory = fovea_rt_device_alloc(zeros);
      fovea_device_write(memory, 0, a->host, zeros);
      return memory;
    }
  a->strides = fovea_alloc(a->rank, 8);
  memcpy(a->strides, strides, (size_t)a->rank * 8);
  for (int axis = a->rank; axis-- > 0;) {
    strides[axis] = elements;
    elements *= a->memref[FOVEA_M_SIZES + axis];
  }
  a->bytes = elements * a->size;
  struct fovea_device_memory *memory = fovea_rt_device_alloc(a->bytes);
  if (k >= call->parameters)
    return memory;
  int64_t mark = fovea_arena_mark();
  char *block = fovea_alloc(a->bytes, 1);
  if (a->given)
    fovea_device_read(a->given, a->at, block, a->size);
  else
    copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 0);
  fovea_device_write(memory, 0, block, a->bytes);
  fovea_arena_release(mark);
  return memory;
}

static void bring_back(const struct argument *a) {
  int64_t mark = fovea_arena_mark();
  char *block = fovea_alloc(a->bytes, 1);
  fovea_device_read((void *)(uintptr_t)a->memref[FOVEA_M_ALIGNED], 0, block, a->bytes);
  if (a->given)
    fovea_device_write(a->given, a->at, block, a->size);
  else
    copy_axes(block, a->bytes, a->host, &a->memref[FOVEA_M_SIZES], a->strides, a->rank, a->size, 1);
  fovea_arena_release(mark);
}

static int32_t run(void *context) {
  const struct invocation *invocation = context;
  const struct fovea_call *call = invocation->call;
  struct argument *arguments = fovea_alloc(call->count, sizeof *arguments);
  for (int k = 0; k < call->count; ++k) {
    const int32_t *described = fovea_argument(call, k);
    struct argument *a = &arguments[k];
    *a = (struct argument){.rank = described[FOVEA_A_RANK], .memref = invocation->args[k]};
    if (a->rank < 0)
      continue;
    a->size = fovea_element_size(described[FOVEA_A_TYPE]);
    a->host = (char *)(uintptr_t)a->memref[FOVEA_M_ALIGNED];
    a->copied = !invocation->places[k].on_device;
    if (invocation->places[k].on_device)
      borrow(call, k, &invocation->places[k], a);
    if (a->given && described[FOVEA_A_FLAGS] & FOVEA_FLAG_SORTED) {
      int32_t status = check_sorted(call, k, a, &invocation->places[k]);
      if (status)
        return status;
    }
    struct fovea_device_memory *memory = a->copied ? carry(call, k, a) : a->given;
    a->memref[FOVEA_M_ALLOCATED] = a->memref[FOVEA_M_ALIGNED] = (int64_t)(uintptr_t)memory;
    a->memref[FOVEA_M_OFFSET] = a->copied ? 0 : a->at / a->size;
  }
  int32_t status = invocation->impl(invocation->args);
  for (int k = call->parameters; k < call->count && !status; ++k)
    if (arguments[k].copied && arguments[k].bytes)
      bring_back(&arguments[k]);
  return status;
}

static int32_t run_on_device(const struct fovea_call *call, int32_t (*impl)(void **), void **args, const struct fovea_place *places) {
  struct invocation invocation = {call, impl, args, places};
  return fovea_device_enter(call->words[FOVEA_D_DEVICE] == kDLCUDA ? FOVEA_DEVICE_CUDA : FOVEA_DEVICE_OPENCL, fovea_kernel_name(call), run, &invocation);
}

int32_t fovea_rt_invoke_on_device(const int32_t *words, const char *strings, int32_t (*impl)(void **), void **arguments) {
  static const struct fovea_way way = {fovea_device_locate, run_on_device};
  return fovea_invoke(words, strings, impl, arguments, &way);
}
