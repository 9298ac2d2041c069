/* Calls kernels for OpenCL with tensors on the device, in the CPU's memory and mixed, and says what becomes of each call. Defines the functions of
 * OpenCL that copy between host and device, to count them: what Fovea opens is found here first. */
#define _GNU_SOURCE
#include "kernels.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int copies, buffers, finishes;

cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, void *p, cl_uint n, const cl_event *w, cl_event *e) {
  ++copies;
  return ((cl_int (*)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *, cl_event *))dlsym(RTLD_NEXT, "clEnqueueReadBuffer"))(q, m, b, o, s, p, n, w, e);
}
cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, cl_uint n, const cl_event *w, cl_event *e) {
  ++copies;
  return ((cl_int (*)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint, const cl_event *, cl_event *))dlsym(RTLD_NEXT, "clEnqueueWriteBuffer"))(q, m, b, o, s, p, n, w, e);
}
cl_mem clCreateBuffer(cl_context c, cl_mem_flags f, size_t s, void *p, cl_int *e) {
  ++buffers;
  return ((cl_mem (*)(cl_context, cl_mem_flags, size_t, void *, cl_int *))dlsym(RTLD_NEXT, "clCreateBuffer"))(c, f, s, p, e);
}
cl_int clFinish(cl_command_queue q) {
  ++finishes;
  return ((cl_int (*)(cl_command_queue))dlsym(RTLD_NEXT, "clFinish"))(q);
}

enum { ROWS = 5, COLUMNS = 7, WIDTH = 16, ELEMENTS = 4096 };
static cl_platform_id platform;
static cl_device_id device;
static cl_context context, other;
static cl_command_queue queue, other_queue;
static cl_mem memory;
static float here[ELEMENTS];                 /* what is in `memory` */
static int64_t shape[2] = {ROWS, COLUMNS};

static void must(cl_int error, int line) {
  if (error != CL_SUCCESS) {
    printf("line %d: OpenCL's error %d\n", line, error);
    exit(1);
  }
}
#define MUST(error) must(error, __LINE__)

static void fill(void) {
  for (int n = 0; n < ELEMENTS; ++n)
    here[n] = (float)n;
  MUST(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, sizeof here, here, 0, NULL, NULL));
  copies = buffers = finishes = 0;
}
static void look(void) { MUST(clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, sizeof here, here, 0, NULL, NULL)); }

static DLTensor on(cl_mem m, int64_t first, int64_t *strides) {
  return (DLTensor){m, {kDLOpenCL, 0}, 2, {kDLFloat, 32, 1}, shape, strides, (uint64_t)first * 4};
}
static DLTensor cpu(float *data, int64_t *strides) { return (DLTensor){data, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, strides, 0}; }

/* The message, and what was copied and allocated on the way. */
static int say(const char *what, int status) {
  printf("%s: %d%s%s\n", what, status, status ? " " : "", status ? fovea_last_error() : "");
  printf("  copies %d buffers %d waits %d\n", copies, buffers, finishes);
  copies = buffers = finishes = 0;
  return status;
}

/* Counts elements of a result that are wrong, and of what is around it. `a` and `b` count from `memory`'s first element. */
static void compare(int64_t result, const int64_t *to, int64_t a, const int64_t *sa, int64_t b, const int64_t *sb) {
  int wrong = 0, touched = 0;
  static char is[ELEMENTS];
  memset(is, 0, sizeof is);
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < COLUMNS; ++j) {
      const int64_t at = result + i * to[0] + j;
      is[at] = 1;
      wrong += here[at] != (float)(a + i * sa[0] + j) + 2 * (float)(b + i * sb[0] + j);
    }
  for (int n = 0; n < ELEMENTS; ++n)
    touched += !is[n] && here[n] != (float)n;
  printf("  wrong %d touched %d\n", wrong, touched);
}

static void *in_a_thread(void *of) {
  DLTensor *t = of;
  say("a thread of its own", mix(&t[0], &t[1], &t[2]));
  return NULL;
}

int main(void) {
  cl_int error;
  MUST(clGetPlatformIDs(1, &platform, NULL));
  MUST(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
  context = clCreateContext(NULL, 1, &device, NULL, NULL, &error), MUST(error);
  other = clCreateContext(NULL, 1, &device, NULL, NULL, &error), MUST(error);
  queue = clCreateCommandQueue(context, device, 0, &error), MUST(error);
  other_queue = clCreateCommandQueue(other, device, 0, &error), MUST(error);
  cl_command_queue wild = clCreateCommandQueue(context, device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &error);
  memory = clCreateBuffer(context, CL_MEM_READ_WRITE, sizeof here, NULL, &error), MUST(error);
  int64_t dense[2] = {COLUMNS, 1}, wide[2] = {WIDTH, 1}, back[2] = {-WIDTH, 1}, same[2] = {0, 1};

  fill();
  DLTensor x = on(memory, 0, NULL), y = on(memory, 1000, wide), o = on(memory, 2003, wide);
  say("before a context is set", mix(&x, &y, &o));
  say("a queue alone", fovea_set_device_stream(kDLOpenCL, NULL, queue));
  say("a context alone", fovea_set_device_stream(kDLOpenCL, context, NULL));
  say("another's queue", fovea_set_device_stream(kDLOpenCL, other, queue));
  if (wild)
    say("out of order", fovea_set_device_stream(kDLOpenCL, context, wild));
  say("no such type", fovea_set_device_stream(kDLMetal, context, queue));
  say("set", fovea_set_device_stream(kDLOpenCL, context, queue));

  say("all on the device", mix(&x, &y, &o)), look(), compare(2003, wide, 0, dense, 1000, wide);
  fill();
  x = on(memory, 500, back), y = on(memory, 17, same), o = on(memory, 3000, back);
  say("backwards and repeated", mix(&x, &y, &o)), look(), compare(3000, back, 500, back, 17, same);
  fill();
  x = on(memory, 0, wide), y = on(memory, 1000, wide), o = on(memory, COLUMNS + 1, wide);
  say("between the rows", mix(&x, &y, &o)), look(), compare(COLUMNS + 1, wide, 0, wide, 1000, wide);

  static float mine[ROWS * WIDTH], result[ROWS * WIDTH];
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < COLUMNS; ++j)
      mine[i * WIDTH + j] = (float)(1000 + i * WIDTH + j);
  fill();
  y = cpu(mine, wide), o = on(memory, 2003, wide);
  say("one from the host", mix(&x, &y, &o)), look(), compare(2003, wide, 0, wide, 1000, wide);
  fill();
  y = on(memory, 1000, wide), o = cpu(result, wide);
  for (int n = 0; n < ROWS * WIDTH; ++n)
    result[n] = -1;
  say("the result to the host", mix(&x, &y, &o));
  int wrong = 0;
  for (int n = 0; n < ROWS * WIDTH; ++n)
    wrong += result[n] != (n % WIDTH < COLUMNS ? (float)n + 2 * (float)(1000 + n) : -1);
  printf("  wrong %d\n", wrong);

  fill();
  DLTensor sum = on(memory, 77, NULL);
  sum.ndim = 0;
  say("a number at an offset", total(&x, &sum)), look();
  printf("  %.0f\n", here[77]);
  fill();
  sum.byte_offset = 0;
  x = on(memory, 16, wide);
  say("a number in front", total(&x, &sum)), look();
  printf("  %.0f\n", here[0]);

  fill();
  x = on(memory, 0, wide);
  sum.byte_offset = 4000 * 4;
  DLTensor key = on(memory, 0, wide), value = on(memory, 200, wide);
  o = on(memory, 2003, wide);
  say("with temporaries", weighed(&x, &key, &value, &o)), look();
  wrong = 0;
  for (int i = 0; i < ROWS; ++i)                /* sparsemax of scores so far apart: the largest has it all */
    for (int j = 0; j < COLUMNS; ++j)
      wrong += here[2003 + i * WIDTH + j] != (float)(200 + (ROWS - 1) * WIDTH + j);
  printf("  wrong %d\n", wrong);

  /* ---- what is refused */
  fill();
  x = on(memory, 0, wide), y = on(memory, 1000, wide), o = on(memory, 3, wide);
  say("overlap", mix(&x, &y, &o));
  cl_buffer_region region = {1024 * 4, 1024 * 4};
  cl_mem part = clCreateSubBuffer(memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &error);
  MUST(error);
  o = on(part, 8, wide);
  say("overlap of a part", mix(&x, &y, &o));
  o = on(part, 100, wide);
  say("a part", mix(&x, &y, &o)), look(), compare(1124, wide, 0, wide, 1000, wide);
  o = on(part, 1024 - 4 * WIDTH - COLUMNS + 1, wide);
  say("beyond a part", mix(&x, &y, &o));
  o = on(memory, 2 * WIDTH, back);
  say("before its memory", mix(&x, &y, &o));
  o = on(memory, 2003, wide);
  o.byte_offset += 2;
  say("misaligned", mix(&x, &y, &o));
  o = on(NULL, 2003, wide);
  say("null", mix(&x, &y, &o));
  o = on(memory, 2003, wide);
  o.device.device_id = 3;
  say("another device", mix(&x, &y, &o));
  o.device = (DLDevice){kDLCUDA, 0};
  say("another kind of device", mix(&x, &y, &o));
  cl_mem far = clCreateBuffer(other, CL_MEM_READ_WRITE, sizeof here, NULL, &error);
  MUST(error);
  buffers = 0;
  o = on(far, 0, wide);
  say("another context", mix(&x, &y, &o));
  cl_image_format format = {CL_R, CL_FLOAT};
  cl_image_desc picture = {.image_type = CL_MEM_OBJECT_IMAGE2D, .image_width = 64, .image_height = 64};
  cl_mem image = clCreateImage(context, CL_MEM_READ_WRITE, &format, &picture, NULL, &error);
  MUST(error);
  o = on(image, 0, wide);
  say("an image", mix(&x, &y, &o));

  int64_t length[1] = {ELEMENTS - 8};
  DLTensor order = {memory, {kDLOpenCL, 0}, 1, {kDLFloat, 32, 1}, length, NULL, 32}, count = on(memory, 5, NULL);
  count.ndim = 0;
  fill();
  say("sorted", below(&order, 100.5f, &count)), look();
  printf("  %.0f\n", here[5]);
  fill();
  float small = 1;
  MUST(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 4 * 1008, 4, &small, 0, NULL, NULL));
  copies = 0;
  say("not sorted", below(&order, 100.5f, &count));
  length[0] = 0;
  order.data = NULL;
  say("empty", below(&order, 100.5f, &count)), look();
  printf("  %.0f\n", here[5]);

  /* ---- whose thread, whose context */
  fill();
  DLTensor of[3] = {on(memory, 0, wide), on(memory, 1000, wide), on(memory, 2003, wide)};
  pthread_t thread;
  pthread_create(&thread, NULL, in_a_thread, of);
  pthread_join(thread, NULL);
  say("another context set", fovea_set_device_stream(kDLOpenCL, other, other_queue));
  MUST(clEnqueueWriteBuffer(other_queue, far, CL_TRUE, 0, sizeof here, here, 0, NULL, NULL));
  copies = 0;
  x = on(far, 0, wide), y = on(far, 1000, wide), o = on(far, 2003, wide);
  say("in another context", mix(&x, &y, &o));
  MUST(clEnqueueReadBuffer(other_queue, far, CL_TRUE, 0, sizeof here, here, 0, NULL, NULL)), compare(2003, wide, 0, wide, 1000, wide);
  copies = 0;
  say("none set", fovea_set_device_stream(kDLOpenCL, NULL, NULL));
  x = cpu(mine, wide), y = cpu(mine, wide), o = cpu(result, wide);
  say("all on the host", mix(&x, &y, &o));
  printf("  %.0f\n", result[WIDTH]);
  return 0;
}
