/* Models on a device: their stages, and the memory that outlives a stage. */
#include "runtime/device/internal.h"
#include "runtime/program/table.h"

#include "HalideRuntimeOpenCL.h"
#include "HalideRuntimeCuda.h"

/* ---- stages */

struct stage {
  int32_t (*impl)(void **);
  void **args;
};

static int32_t run_stage(void *context) {
  const struct stage *stage = context;
  return stage->impl(stage->args);
}

int32_t fovea_rt_stage_on_device(int32_t kind, const char *name, int32_t (*impl)(void **), void **args) {
  return fovea_device_enter(kind, name, run_stage, &(struct stage){impl, args});
}

/* ---- memory */

struct transfer {
  struct fovea_device_memory *memory;
  int64_t at, bytes;
  void *host;
};

static int32_t take_body(void *context) {
  struct transfer *wanted = context;
  wanted->memory = fovea_rt_device_alloc(wanted->bytes);
  fovea_device_keep(wanted->memory);
  return 0;
}

static int32_t give_body(void *memory) {
  fovea_rt_device_free(memory);
  return 0;
}

static int32_t write_body(void *context) {
  const struct transfer *t = context;
  fovea_device_write(t->memory, t->at, t->host, t->bytes);
  return 0;
}

static int32_t read_body(void *context) {
  const struct transfer *t = context;
  fovea_device_read(t->memory, t->at, t->host, t->bytes);
  return 0;
}

static int32_t wait_body(void *memory) {
  fovea_device_try();
  fovea_device_must(halide_device_sync(NULL, &((struct fovea_device_memory *)memory)->whole), "the device failed");
  return 0;
}

static int32_t take(int kind, int64_t bytes, void **memory) {
  struct transfer wanted = {.bytes = bytes};
  int32_t status = fovea_device_enter(kind, NULL, take_body, &wanted);
  *memory = wanted.memory;
  return status;
}

static int32_t write(int kind, void *memory, int64_t at, const void *host, int64_t bytes) {
  return fovea_device_enter(kind, NULL, write_body, &(struct transfer){memory, at, bytes, (void *)(uintptr_t)host});
}

static int32_t read(int kind, const void *memory, int64_t at, void *host, int64_t bytes) {
  return fovea_device_enter(kind, NULL, read_body, &(struct transfer){(void *)(uintptr_t)memory, at, bytes, host});
}

/* ---- rows */

/* lowering/halide/MoveRows.cpp */
int fovea_move_rows_opencl_1_argv(void **), fovea_move_rows_opencl_4_argv(void **), fovea_move_rows_cuda_1_argv(void **), fovea_move_rows_cuda_4_argv(void **);

static int32_t move_rows_body(void *context) {
  static int (*const nests[2][2])(void **) = {[FOVEA_DEVICE_OPENCL] = {fovea_move_rows_opencl_1_argv, fovea_move_rows_opencl_4_argv},
                                              [FOVEA_DEVICE_CUDA] = {fovea_move_rows_cuda_1_argv, fovea_move_rows_cuda_4_argv}};
  const struct fovea_rows *rows = context;
  const int64_t distances[] = {rows->chunk, rows->to_at, rows->to_row, rows->to_outer, rows->from_at, rows->from_row, rows->from_outer};
  int64_t bits = 0, numbers[9] = {rows->count, rows->outer};
  for (int n = 0; n < 7; ++n)
    bits |= distances[n];
  const int whole = bits % 4 == 0;
  for (int n = 0; n < 7; ++n)
    numbers[2 + n] = distances[n] / (whole ? 4 : 1);
  int64_t points = fovea_mul(fovea_mul(rows->count, rows->outer), numbers[2]);
  struct fovea_device_memory *to = rows->to, *from = rows->from;
  if (points > INT32_MAX || to->bytes / (whole ? 4 : 1) > INT32_MAX || from->bytes / (whole ? 4 : 1) > INT32_MAX)
    fovea_device_give_up(FOVEA_TOO_LARGE, "rows to be moved have more elements than an i32 can count");
  if (points == 0)
    return 0;
  struct fovea_device_memory *pairs = fovea_rt_device_alloc(rows->count * 8);
  fovea_device_write(pairs, 0, rows->pairs, rows->count * 8);
  int32_t passed[9];
  struct halide_buffer_t buffers[] = {pairs->whole, from->whole, to->whole};
  void *arguments[12];
  for (int n = 0; n < 9; ++n)
    passed[n] = (int32_t)numbers[n], arguments[n] = &passed[n];
  for (int n = 0; n < 3; ++n)
    arguments[9 + n] = &buffers[n];
  buffers[0].type = (struct halide_type_t){halide_type_int, 32, 1};
  buffers[1].type = buffers[2].type = (struct halide_type_t){halide_type_uint, whole ? 32 : 8, 1};
  fovea_device_run(nests[fovea_device_this_call->interface == halide_cuda_device_interface()][whole], arguments);
  return 0;
}

/* ---- what the table points to */

#define DEVICE(target, kind, called)                                                                                                                       \
  static int32_t target##_take(int64_t bytes, void **memory) { return take(kind, bytes, memory); }                                                       \
  static void target##_give(void *memory) { fovea_device_enter(kind, NULL, give_body, memory); }                                                     \
  static int32_t target##_write(void *memory, int64_t at, const void *host, int64_t bytes) { return write(kind, memory, at, host, bytes); }               \
  static int32_t target##_read(const void *memory, int64_t at, void *host, int64_t bytes) { return read(kind, memory, at, host, bytes); }                 \
  static int32_t target##_move_rows(const struct fovea_rows *rows) { return fovea_device_enter(kind, NULL, move_rows_body, (void *)(uintptr_t)rows); }   \
  static int32_t target##_wait(void *memory) { return fovea_device_enter(kind, NULL, wait_body, memory); }                                           \
  const struct fovea_device fovea_device_##target = {called, target##_take, target##_give, target##_write, target##_read, target##_move_rows, target##_wait};

DEVICE(opencl, FOVEA_DEVICE_OPENCL, "OpenCL")
DEVICE(cuda, FOVEA_DEVICE_CUDA, "CUDA")
