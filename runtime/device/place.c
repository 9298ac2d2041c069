/* Where a caller's tensors on the device lie: in the context that is set, inside their memory. */
#include "runtime/device/driver.h"
#include "runtime/device/internal.h"
#include "runtime/include/fovea/device.h"

#define FAIL(status, ...) return fovea_failf(status, fovea_kernel_name(call), __VA_ARGS__)

static int32_t check_number(const struct fovea_call *call, const char *name, const char *device, int32_t id, void *const *set) {
  intptr_t number = (intptr_t)set[FOVEA_STREAM_NUMBER];
  if (number < 0 || id == number)
    return FOVEA_OK;
  FAIL(FOVEA_WRONG_DEVICE, "`%s` is on %s device %d, wanted %d, the one of the context that is set", name, device, id, (int)number);
}

static int32_t locate_opencl(const struct fovea_call *call, int k, const char *name, int64_t *memref, struct fovea_place *place) {
  enum { CL_MEM_TYPE = 0x1100, CL_MEM_SIZE = 0x1102, CL_MEM_CONTEXT = 0x1106, CL_MEM_ASSOCIATED_MEMOBJECT = 0x1107, CL_MEM_OFFSET = 0x1108, CL_MEM_OBJECT_BUFFER = 0x10F0 };
  const DLTensor *tensor = call->arguments[k];
  void *const *set = fovea_device_stream(kDLOpenCL), *memory = tensor->data, *context, *whole;
  if (!set[FOVEA_STREAM_CONTEXT])
    FAIL(FOVEA_WRONG_DEVICE, "`%s` is a cl_mem, and this thread has set no context for it: see fovea_set_device_stream", name);
  int32_t status = check_number(call, name, "OpenCL", tensor->device.device_id, set);
  if (status)
    return status;
  const struct fovea_opencl *cl = fovea_opencl();
  size_t size, offset;
  uint32_t type;
  int error = cl->clGetMemObjectInfo(memory, CL_MEM_CONTEXT, sizeof context, &context, NULL);
  if (!error)
    error = cl->clGetMemObjectInfo(memory, CL_MEM_TYPE, sizeof type, &type, NULL);
  if (!error)
    error = cl->clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof size, &size, NULL);
  if (!error)
    error = cl->clGetMemObjectInfo(memory, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof whole, &whole, NULL);
  if (!error)
    error = cl->clGetMemObjectInfo(memory, CL_MEM_OFFSET, sizeof offset, &offset, NULL);
  if (error)
    FAIL(FOVEA_WRONG_DEVICE, "the data of `%s` is no cl_mem: clGetMemObjectInfo fails with %d", name, error);
  if (context != set[FOVEA_STREAM_CONTEXT])
    FAIL(FOVEA_WRONG_DEVICE, "`%s` is of another OpenCL context than the one that is set", name);
  if (type != CL_MEM_OBJECT_BUFFER)
    FAIL(FOVEA_WRONG_DEVICE, "the cl_mem of `%s` is no buffer", name);
  if (place->end > size)
    FAIL(FOVEA_TOO_LARGE, "`%s` ends at byte %llu of its memory, which has %llu", name, (unsigned long long)place->end, (unsigned long long)size);
  if (place->end / (uintptr_t)fovea_element_size(fovea_argument(call, k)[FOVEA_A_TYPE]) > INT32_MAX)
    FAIL(FOVEA_TOO_LARGE, "`%s` lies beyond the first 2147483647 elements of its memory", name);
  if (whole) {
    place->memory = whole;
    place->begin += offset;
    place->end += offset;
    memref[FOVEA_M_ALIGNED] += (int64_t)offset;
  }
  return FOVEA_OK;
}

static int32_t locate_cuda(const struct fovea_call *call, int k, const char *name, const struct fovea_place *place) {
  enum { CU_POINTER_ATTRIBUTE_CONTEXT = 1 };
  const DLTensor *tensor = call->arguments[k];
  void *const *set = fovea_device_stream(kDLCUDA), *context = NULL, *popped;
  if (!set[FOVEA_STREAM_CONTEXT])
    FAIL(FOVEA_WRONG_DEVICE, "`%s` is in CUDA's memory, and this thread has set no context for it: see fovea_set_device_stream", name);
  int32_t status = tensor->device.device_type == kDLCUDA ? check_number(call, name, "CUDA", tensor->device.device_id, set) : FOVEA_OK;
  if (status)
    return status;
  const struct fovea_cuda *cuda = fovea_cuda();
  uint64_t base = 0;
  size_t size = 0;
  int error = cuda->cuCtxPushCurrent_v2(set[FOVEA_STREAM_CONTEXT]);
  if (error)
    FAIL(FOVEA_DEVICE_FAILED, "CUDA refuses the context that is set with %d", error);
  error = cuda->cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, place->begin);
  int bounded = !error && cuda->cuMemGetAddressRange_v2(&base, &size, place->begin) == 0;
  cuda->cuCtxPopCurrent_v2(&popped);
  if (error)
    FAIL(FOVEA_WRONG_DEVICE, "`%s` does not lie in CUDA's memory: cuPointerGetAttribute fails with %d", name, error);
  if (context && context != set[FOVEA_STREAM_CONTEXT])   /* memory of a pool has none */
    FAIL(FOVEA_WRONG_DEVICE, "`%s` is of another CUDA context than the one that is set", name);
  if (bounded && place->end > base + size)
    FAIL(FOVEA_TOO_LARGE, "`%s` ends at byte %llu of its memory, which has %llu", name, (unsigned long long)(place->end - base), (unsigned long long)size);
  return FOVEA_OK;
}

int32_t fovea_device_locate(const struct fovea_call *call, int k, int64_t *memref, struct fovea_place *place) {
  const char *name = fovea_string(call, fovea_argument(call, k)[FOVEA_A_NAME]);
  return place->memory ? locate_opencl(call, k, name, memref, place) : locate_cuda(call, k, name, place);
}
