/* Calls the kernels of device_tensors.attn for CUDA with tensors on the device, against the driver of this test (fake_cuda.c): the order on standard
 * error is what was asked of it. */
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>

int cuInit(unsigned flags);
int cuCtxCreate_v2(void **at, unsigned flags, int device);
int cuCtxPopCurrent_v2(void **at);
int cuMemAlloc_v2(uint64_t *at, size_t bytes);

enum { ROWS = 5, COLUMNS = 7, WIDTH = 16, BYTES = 4 * ROWS * WIDTH };
static int64_t shape[2] = {ROWS, COLUMNS}, wide[2] = {WIDTH, 1}, back[2] = {-WIDTH, 1};

static DLTensor on(uint64_t memory, int64_t first, int64_t *strides) {
  return (DLTensor){(void *)(uintptr_t)memory, {kDLCUDA, 1}, 2, {kDLFloat, 32, 1}, shape, strides, (uint64_t)first * 4};
}
static void say(const char *what, int status) { fprintf(stderr, "%s: %d%s%s\n", what, status, status ? " " : "", status ? fovea_last_error() : ""); }

int main(void) {
  void *context, *other, *popped, *stream = (void *)5;
  uint64_t a, b, c, far;
  if (cuInit(0) || cuCtxCreate_v2(&other, 0, 70) || cuMemAlloc_v2(&far, BYTES) || cuCtxPopCurrent_v2(&popped) || cuCtxCreate_v2(&context, 0, 71) || cuMemAlloc_v2(&a, BYTES) ||
      cuMemAlloc_v2(&b, BYTES) || cuMemAlloc_v2(&c, BYTES) || cuCtxPopCurrent_v2(&popped))
    return 1;
  DLTensor x = on(a, 0, wide), y = on(b, 4 * WIDTH, back), o = on(c, 1, wide);
  say("before a context is set", mix(&x, &y, &o));
  say("a stream alone", fovea_set_device_stream(kDLCUDA, NULL, stream));
  say("set", fovea_set_device_stream(kDLCUDA, context, stream));
  say("all on the device", mix(&x, &y, &o));
  y.device = (DLDevice){kDLCUDAManaged, 0};
  say("managed memory", mix(&x, &y, &o));

  static float host[ROWS * WIDTH];
  y = on(0, 0, wide), y.data = host, y.device = (DLDevice){kDLCPU, 0};
  say("one from the host", mix(&x, &y, &o));
  DLTensor key = on(b, 0, wide), value = on(b, 8, wide);
  say("with temporaries", weighed(&x, &key, &value, &o));

  DLTensor sum = on(c, 3, NULL);
  sum.ndim = 0;
  say("a number", total(&x, &sum));
  int64_t length[1] = {ROWS * WIDTH};
  DLTensor order = on(a, 0, NULL);
  order.ndim = 1, order.shape = length;
  say("sorted", below(&order, 1, &sum));

  y = on(b, 0, wide);
  o.device.device_id = 0;
  say("another device", mix(&x, &y, &o));
  o = on(far, 1, wide);
  say("another context", mix(&x, &y, &o));
  o = on(a, COLUMNS - 1, wide);
  say("overlap", mix(&x, &y, &o));
  o = on(c, WIDTH, wide);
  say("beyond its memory", mix(&x, &y, &o));
  o = on((uint64_t)(uintptr_t)host, 0, wide);
  say("no memory of CUDA's", mix(&x, &y, &o));
  o = on(c, 0, wide);
  o.device.device_type = kDLOpenCL;
  say("another kind of device", mix(&x, &y, &o));

  say("the default stream", fovea_set_device_stream(kDLCUDA, context, NULL));
  o = on(c, 0, wide);
  say("in it", mix(&x, &y, &o));
  say("none set", fovea_set_device_stream(kDLCUDA, NULL, NULL));
  say("after that", mix(&x, &y, &o));
  return 0;
}
