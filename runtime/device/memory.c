/* The device's memory: taken and given back, written and read. */
#include "runtime/device/driver.h"
#include "runtime/device/internal.h"
#include "runtime/include/fovea/device.h"

#include "HalideRuntimeCuda.h"
#include "HalideRuntimeOpenCL.h"

#include <stdio.h>
#include <stdlib.h>

static void out_of_memory(int64_t bytes) {
  char what[96];
  snprintf(what, sizeof what, "out of memory: no %lld bytes on the %s device", (long long)bytes, fovea_device_this_call->device);
  fovea_device_give_up(FOVEA_OUT_OF_MEMORY, what);
}

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

static void unlink_memory(struct fovea_device_memory *memory) {
  if (!memory->link)
    return;
  *memory->link = memory->next;
  if (memory->next)
    memory->next->link = memory->link;
  memory->next = NULL;
  memory->link = NULL;
}

static void link_memory(struct fovea_device_memory *memory) {
  struct fovea_device_call *call = fovea_device_this_call;
  memory->next = call->memory;
  memory->link = &call->memory;
  if (memory->next)
    memory->next->link = &memory->next;
  call->memory = memory;
}

static struct fovea_device_memory *new_memory(int64_t bytes) {
  struct fovea_device_memory *memory = calloc(1, sizeof *memory);
  if (!memory || !shape(memory, bytes)) {
    free(memory);
    out_of_memory(bytes);
  }
  fovea_device_try();
  return memory;
}

static int is_cuda(const struct halide_device_interface_t *interface) { return interface == halide_cuda_device_interface(); }

/* Memory of CUDA's pool comes and goes in the order of the stream: neither waits, and a loop's temporaries are the same memory each time. 0 where the
 * driver or the device has no pools. */
static int take_from_pool(struct fovea_device_memory *memory, int *error) {
  enum { CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115 };
  const struct fovea_cuda *cuda = fovea_cuda();
  void *context, *stream, *popped;
  uint64_t at = 0;
  int device, pools = 0;
  if (!cuda || !cuda->cuMemAllocAsync || !cuda->cuMemFreeAsync)
    return 0;
  if ((*error = halide_cuda_acquire_context(NULL, &context, true)) || (*error = halide_cuda_get_stream(NULL, context, &stream)) || (*error = cuda->cuCtxPushCurrent_v2(context)))
    return 1;
  if (cuda->cuCtxGetDevice(&device) == 0 && cuda->cuDeviceGetAttribute(&pools, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, device) == 0 && pools)
    *error = cuda->cuMemAllocAsync(&at, (size_t)memory->bytes, stream);
  cuda->cuCtxPopCurrent_v2(&popped);
  halide_cuda_release_context(NULL);
  if (!pools)
    return 0;
  if (!*error)
    *error = halide_cuda_wrap_device_ptr(NULL, &memory->whole, at);
  memory->context = context;
  memory->stream = stream;
  return 1;
}

static void give_to_pool(struct fovea_device_memory *memory) {
  const struct fovea_cuda *cuda = fovea_cuda();
  void *popped;
  uint64_t at = halide_cuda_get_device_ptr(NULL, &memory->whole);
  halide_cuda_detach_device_ptr(NULL, &memory->whole);
  if (cuda->cuCtxPushCurrent_v2(memory->context))
    return;
  cuda->cuMemFreeAsync(at, memory->stream);
  cuda->cuCtxPopCurrent_v2(&popped);
}

void *fovea_rt_device_alloc(int64_t bytes) {
  struct fovea_device_memory *memory = new_memory(bytes);
  int error = 0;
  if (!is_cuda(fovea_device_this_call->interface) || !take_from_pool(memory, &error))
    error = halide_device_malloc(NULL, &memory->whole, fovea_device_this_call->interface);
  if (error) {
    free(memory);
    out_of_memory(bytes);
  }
  link_memory(memory);
  return memory;
}

struct fovea_device_memory *fovea_device_borrow(uint64_t handle, int64_t bytes) {
  struct fovea_device_memory *memory = new_memory(bytes);
  memory->borrowed = 1;
  if (is_cuda(fovea_device_this_call->interface) ? halide_cuda_wrap_device_ptr(NULL, &memory->whole, handle) : halide_opencl_wrap_cl_mem(NULL, &memory->whole, handle)) {
    free(memory);
    out_of_memory((int64_t)sizeof *memory);
  }
  link_memory(memory);
  return memory;
}

void fovea_rt_device_free(void *at) {
  struct fovea_device_memory *memory = at;
  unlink_memory(memory);
  if (memory->context)
    give_to_pool(memory);
  else if (!memory->borrowed)
    halide_device_free(NULL, &memory->whole);
  else if (is_cuda(memory->whole.device_interface))
    halide_cuda_detach_device_ptr(NULL, &memory->whole);
  else
    halide_opencl_detach_cl_mem(NULL, &memory->whole);
  free(memory);
}

void fovea_device_keep(struct fovea_device_memory *memory) { unlink_memory(memory); }

/* `count` bytes from `at` on, as Halide describes them: of the device, and of the host. The unit is the largest that all three are multiples of and
 * in which the memory can be counted. */
struct piece {
  struct halide_buffer_t device, host;
  struct halide_dimension_t whole, part;
};

static void describe(struct piece *piece, const struct fovea_device_memory *memory, int64_t at, void *host, int64_t count) {
  const int64_t lowest = (at | count | memory->bytes) & -(at | count | memory->bytes), size = lowest < 8 ? lowest : 8;
  if (memory->bytes / size > INT32_MAX)
    fovea_device_give_up(FOVEA_TOO_LARGE, "a part of a tensor of more than 2 GiB lies where no 32-bit number finds it");
  piece->device = memory->whole;
  piece->device.type.bits = (uint8_t)(8 * size);
  piece->device.dim = &piece->whole;
  piece->whole = (struct halide_dimension_t){.extent = (int32_t)(memory->bytes / size), .stride = 1};
  piece->part = (struct halide_dimension_t){.min = (int32_t)(at / size), .extent = (int32_t)(count / size), .stride = 1};
  piece->host = (struct halide_buffer_t){.host = host, .type = piece->device.type, .dimensions = 1, .dim = &piece->part};
}

/* In a stream other than the default one, Halide's copies are CUDA's asynchronous ones: what they read or wrote on the host is done with once they are. */
static void wait_for_copy(struct halide_buffer_t *buffer) {
  if (is_cuda(fovea_device_this_call->interface) && fovea_device_stream(kDLCUDA)[FOVEA_STREAM_STREAM])
    fovea_device_must(halide_device_sync(NULL, buffer), "cannot copy");
}

void fovea_device_write(struct fovea_device_memory *memory, int64_t at, const void *host, int64_t count) {
  if (count == 0)
    return;
  struct piece piece;
  describe(&piece, memory, at, (void *)(uintptr_t)host, count);
  piece.host.flags = halide_buffer_flag_host_dirty;
  fovea_device_try();
  fovea_device_must(halide_buffer_copy(NULL, &piece.host, fovea_device_this_call->interface, &piece.device), "cannot copy to the device");
  wait_for_copy(&piece.device);
}

void fovea_device_read(const struct fovea_device_memory *memory, int64_t at, void *host, int64_t count) {
  if (count == 0)
    return;
  struct piece piece;
  describe(&piece, memory, at, host, count);
  fovea_device_try();
  fovea_device_must(halide_buffer_copy(NULL, &piece.device, NULL, &piece.host), "cannot copy from the device");
  wait_for_copy(&piece.device);
}

int64_t fovea_rt_device_read(void *at, int64_t element, int64_t bytes) {
  int64_t value = 0;
  fovea_device_read(at, element * bytes, &value, bytes);
  return value;
}
