/* The device's memory: taken and given back, written and read. */
#include "runtime/device/internal.h"

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

void *fovea_rt_device_alloc(int64_t bytes) {
  struct fovea_device_call *call = fovea_device_this_call;
  struct fovea_device_memory *memory = calloc(1, sizeof *memory);
  if (!memory)
    out_of_memory(bytes);
  fovea_device_try();
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
  unlink_memory(memory);
  halide_device_free(NULL, &memory->whole);
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

void fovea_device_write(struct fovea_device_memory *memory, int64_t at, const void *host, int64_t count) {
  if (count == 0)
    return;
  struct piece piece;
  describe(&piece, memory, at, (void *)(uintptr_t)host, count);
  piece.host.flags = halide_buffer_flag_host_dirty;
  fovea_device_try();
  fovea_device_must(halide_buffer_copy(NULL, &piece.host, fovea_device_this_call->interface, &piece.device), "cannot copy to the device");
}

void fovea_device_read(const struct fovea_device_memory *memory, int64_t at, void *host, int64_t count) {
  if (count == 0)
    return;
  struct piece piece;
  describe(&piece, memory, at, host, count);
  fovea_device_try();
  fovea_device_must(halide_buffer_copy(NULL, &piece.device, NULL, &piece.host), "cannot copy from the device");
}

int64_t fovea_rt_device_read(void *at, int64_t element, int64_t bytes) {
  int64_t value = 0;
  fovea_device_read(at, element * bytes, &value, bytes);
  return value;
}
