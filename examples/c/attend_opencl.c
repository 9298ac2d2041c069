/* Calls examples/kernels/attend.attn twice on an OpenCL device, with tensors that stay there: the first call's result is the second one's query. The
 * context, the queue and the memory are this program's.
 *
 *   fovea compile examples/kernels/attend.attn --target opencl -o attend.o        also writes attend.h
 *   cc -std=c99 -I . examples/c/attend_opencl.c attend.o -lm -pthread -l:libOpenCL.so.1 -o attend_opencl && ./attend_opencl
 */
#include "attend.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, HEADS = 3, LENGTH = 70, SIZE = 32, ELEMENTS = BATCH * HEADS * LENGTH * SIZE, BYTES = 4 * ELEMENTS };

static void check(cl_int error, const char *what) {
  if (error == CL_SUCCESS)
    return;
  fprintf(stderr, "%s: OpenCL's error %d\n", what, error);
  exit(1);
}

/* One buffer holds query, key, value and two results; a tensor is its cl_mem and an offset. */
static int64_t shape[4] = {BATCH, HEADS, LENGTH, SIZE};

static DLTensor tensor(cl_mem memory, int place) {
  DLTensor t = {memory, {kDLOpenCL, 0}, 4, {kDLFloat, 32, 1}, shape, NULL, (uint64_t)place * BYTES};
  return t;
}

/* softmax(q k^T / sqrt(d)) v of one head. */
static void attend_here(const float *q, const float *k, const float *v, double *o) {
  for (int i = 0; i < LENGTH; ++i) {
    double weights[LENGTH], sum = 0;
    for (int j = 0; j < LENGTH; ++j) {
      double score = 0;
      for (int d = 0; d < SIZE; ++d)
        score += (double)q[i * SIZE + d] * k[j * SIZE + d];
      sum += weights[j] = exp(score / sqrt(SIZE));
    }
    for (int e = 0; e < SIZE; ++e) {
      o[i * SIZE + e] = 0;
      for (int j = 0; j < LENGTH; ++j)
        o[i * SIZE + e] += weights[j] / sum * v[j * SIZE + e];
    }
  }
}

int main(void) {
  cl_platform_id platform;
  cl_device_id device;
  cl_int error;
  check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
  check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "clGetDeviceIDs");
  cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &error);
  check(error, "clCreateContext");
  cl_command_queue queue = clCreateCommandQueue(context, device, 0, &error);
  check(error, "clCreateCommandQueue");
  cl_mem memory = clCreateBuffer(context, CL_MEM_READ_WRITE, 5 * BYTES, NULL, &error);
  check(error, "clCreateBuffer");

  static float host[5][ELEMENTS];
  for (int n = 0; n < 3 * ELEMENTS; ++n)
    host[n / ELEMENTS][n % ELEMENTS] = (float)rand() / (float)RAND_MAX - 0.5f;
  check(clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, 3 * BYTES, host, 0, NULL, NULL), "clEnqueueWriteBuffer");

  /* Kernels of this thread run in this context from now on. Nothing is copied, and no call waits: the queue runs one after the other. */
  DLTensor q = tensor(memory, 0), k = tensor(memory, 1), v = tensor(memory, 2), once = tensor(memory, 3), twice = tensor(memory, 4);
  if (fovea_set_device_stream(kDLOpenCL, context, queue) || attend(&q, &k, &v, &once) || attend(&once, &k, &v, &twice)) {
    fprintf(stderr, "%s\n", fovea_last_error());
    return 1;
  }
  check(clEnqueueReadBuffer(queue, memory, CL_TRUE, 3 * BYTES, 2 * BYTES, host[3], 0, NULL, NULL), "clEnqueueReadBuffer");

  double most = 0, expected[LENGTH * SIZE];
  for (int call = 0; call < 2; ++call)
    for (int head = 0; head < BATCH * HEADS; ++head) {
      const int at = head * LENGTH * SIZE;
      attend_here(host[call ? 3 : 0] + at, host[1] + at, host[2] + at, expected);
      for (int n = 0; n < LENGTH * SIZE; ++n)
        most = fmax(most, fabs(expected[n] - host[3 + call][at + n]));
    }
  printf("largest difference of two calls: %.1e\n", most);

  /* A tensor that does not fit its memory is refused before anything runs. */
  k.byte_offset = 4 * BYTES + 4;
  printf("status %d: %s\n", attend(&q, &k, &v, &once), fovea_last_error());

  fovea_set_device_stream(kDLOpenCL, NULL, NULL);
  clReleaseMemObject(memory);
  clReleaseCommandQueue(queue);
  clReleaseContext(context);
  return most < 1e-5 ? 0 : 1;
}
