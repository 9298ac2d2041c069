/* The caller's contexts and streams, and how Halide's runtime gets them. */
#include "runtime/device/driver.h"
#include "runtime/device/internal.h"
#include "runtime/include/fovea/device.h"

#include <pthread.h>

#define PUBLIC __attribute__((weak, visibility("default")))
#define FAIL(status, ...) return fovea_failf(status, "fovea_set_device_stream", __VA_ARGS__)

PUBLIC void **fovea_device_stream(int32_t device_type) {
  static _Thread_local void *set[2][FOVEA_STREAM_WORDS];
  return device_type == kDLOpenCL ? set[0] : device_type == kDLCUDA ? set[1] : NULL;
}

/* The number of a device among those of its platform, as `fovea devices` counts; -1: a part of a device, which has none. */
static intptr_t opencl_number(const struct fovea_opencl *cl, void *device) {
  enum { MOST = 128, CL_DEVICE_PLATFORM = 0x1031 };
  void *platform, *devices[MOST];
  uint32_t count = 0;
  if (cl->clGetDeviceInfo(device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) || cl->clGetDeviceIDs(platform, 0xFFFFFFFF, MOST, devices, &count))
    return -1;
  for (uint32_t n = 0; n < count && n < MOST; ++n)
    if (devices[n] == device)
      return n;
  return -1;
}

static int check_opencl(void *context, void *queue, intptr_t *number) {
  enum { CL_CONTEXT_NUM_DEVICES = 0x1083, CL_QUEUE_CONTEXT = 0x1090, CL_QUEUE_DEVICE = 0x1091, CL_QUEUE_PROPERTIES = 0x1093 };
  const struct fovea_opencl *cl = fovea_opencl();
  if (!cl)
    FAIL(FOVEA_DEVICE_FAILED, "there is no OpenCL: libOpenCL.so.1 is not installed");
  void *own, *device;
  uint64_t properties;
  uint32_t devices;
  int error = cl->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof own, &own, NULL);
  if (!error)
    error = cl->clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
  if (!error)
    error = cl->clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
  if (error)
    FAIL(FOVEA_DEVICE_FAILED, "clGetCommandQueueInfo fails with %d", error);
  if (own != context)
    FAIL(FOVEA_WRONG_DEVICE, "the command queue belongs to another context");
  if (properties & 1)
    FAIL(FOVEA_WRONG_DEVICE, "the command queue runs commands out of order, wanted one that runs them in order");
  if ((error = cl->clGetContextInfo(context, CL_CONTEXT_NUM_DEVICES, sizeof devices, &devices, NULL)))
    FAIL(FOVEA_DEVICE_FAILED, "clGetContextInfo fails with %d", error);
  if (devices != 1)
    FAIL(FOVEA_WRONG_DEVICE, "the context has %u devices, wanted one", devices);
  *number = opencl_number(cl, device);
  return FOVEA_OK;
}

static int check_cuda(void *context, intptr_t *number) {
  const struct fovea_cuda *cuda = fovea_cuda();
  if (!cuda)
    FAIL(FOVEA_DEVICE_FAILED, "there is no CUDA: libcuda.so.1 is not installed");
  int device = 0, count = 0, other, error = cuda->cuCtxPushCurrent_v2(context);
  if (!error) {
    error = cuda->cuCtxGetDevice(&device);
    cuda->cuCtxPopCurrent_v2(&context);
  }
  if (!error)
    error = cuda->cuDeviceGetCount(&count);
  if (error)
    FAIL(FOVEA_DEVICE_FAILED, "CUDA refuses the context with %d", error);
  *number = -1;
  for (int n = 0; n < count && *number < 0; ++n)
    if (cuda->cuDeviceGet(&other, n) == 0 && other == device)
      *number = n;
  return FOVEA_OK;
}

PUBLIC int fovea_set_device_stream(int32_t device_type, void *context, void *stream) {
  void **set = fovea_device_stream(device_type);
  if (!set)
    FAIL(FOVEA_WRONG_DEVICE, "DLPack type %d is neither CUDA (%d) nor OpenCL (%d)", device_type, kDLCUDA, kDLOpenCL);
  if (stream && !context)
    FAIL(FOVEA_NULL_POINTER, "the context is null");
  if (context && !stream && device_type == kDLOpenCL)
    FAIL(FOVEA_NULL_POINTER, "the command queue is null");
  intptr_t number = 0;
  int status = !context ? FOVEA_OK : device_type == kDLCUDA ? check_cuda(context, &number) : check_opencl(context, stream, &number);
  if (status)
    return status;
  set[FOVEA_STREAM_CONTEXT] = context;
  set[FOVEA_STREAM_STREAM] = stream;
  set[FOVEA_STREAM_NUMBER] = (void *)number;
  return FOVEA_OK;
}

/* ---- Halide's runtime calls these, in place of its own. What it gives back when the program ends is its own context alone: `create` is false then. */

int halide_default_cuda_acquire_context(void *user_context, void **context, bool create);

int halide_cuda_acquire_context(void *user_context, void **context, bool create) {
  void **set = fovea_device_stream(kDLCUDA);
  if (!create || !set[FOVEA_STREAM_CONTEXT])
    return halide_default_cuda_acquire_context(user_context, context, create);
  *context = set[FOVEA_STREAM_CONTEXT];
  return 0;
}

int halide_cuda_get_stream(void *user_context, void *context, void **stream) {
  (void)user_context;
  void **set = fovea_device_stream(kDLCUDA);
  *stream = set[FOVEA_STREAM_CONTEXT] == context ? set[FOVEA_STREAM_STREAM] : NULL;
  return 0;
}

/* Halide's own context and queue, and what makes them (CMakeLists.txt names them so). */
extern void *fovea_halide_cl_context, *fovea_halide_cl_queue;
int fovea_halide_cl_create(void *user_context, void **context, void **queue);

/* One thread at a time. Halide's runtime releases once for each time that it acquired, whatever came of that; fovea_device_abort once more. */
static pthread_mutex_t opencl_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int holds_opencl;

int halide_acquire_cl_context(void *user_context, void **context, void **queue, bool create) {
  void **set = fovea_device_stream(kDLOpenCL);
  int error = 0;
  pthread_mutex_lock(&opencl_lock);
  holds_opencl = 1;
  if (create && set[FOVEA_STREAM_CONTEXT]) {
    *context = set[FOVEA_STREAM_CONTEXT];
    *queue = set[FOVEA_STREAM_STREAM];
    return 0;
  }
  if (!fovea_halide_cl_context && create)
    error = fovea_halide_cl_create(user_context, &fovea_halide_cl_context, &fovea_halide_cl_queue);
  *context = fovea_halide_cl_context;
  *queue = fovea_halide_cl_queue;
  return error;
}

int halide_release_cl_context(void *user_context) {
  (void)user_context;
  if (holds_opencl) {
    holds_opencl = 0;
    pthread_mutex_unlock(&opencl_lock);
  }
  return 0;
}
