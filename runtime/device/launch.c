/* Launches of nests. */
#include "runtime/device/internal.h"

void fovea_device_run(int (*nest)(void **), void **arguments) {
  fovea_device_try();
  int error = nest(arguments);
  fovea_device_must(error || fovea_device_complaint[0], "the device failed");   /* without Halide's assertions a nest returns 0 whatever its runtime says */
}

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
      fovea_device_give_up(FOVEA_TOO_LARGE, "a temporary has more elements than an i32 can count");
    arguments[n] = kind == FOVEA_LAUNCH_BUFFER ? (void *)&buffers[n] : (void *)&words[2 * n + 1];
    if (kind != FOVEA_LAUNCH_BUFFER)
      continue;
    buffers[n] = ((struct fovea_device_memory *)(uintptr_t)value)->whole;
    buffers[n].type = types[words[2 * n] >> 8 & 255];
  }
  fovea_device_run(nest, arguments);
  if (fovea_rt_profiling())   /* what was begun belongs to this operation */
    for (int64_t n = 0; n < count / 2; ++n)
      if ((words[2 * n] & 255) == FOVEA_LAUNCH_BUFFER) {
        fovea_device_must(halide_device_sync(NULL, &buffers[n]), "the device failed");
        return;
      }
}
