/* What the runtime itself asks of the drivers, beside what Halide's runtime does. Handles are pointers; codes are 0 where all is well. */
#ifndef FOVEA_RUNTIME_DEVICE_DRIVER_H
#define FOVEA_RUNTIME_DEVICE_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#define FOVEA_OPENCL_FUNCTIONS(FUNCTION)                                          \
  FUNCTION(clGetMemObjectInfo, void *, uint32_t, size_t, void *, size_t *)        \
  FUNCTION(clGetCommandQueueInfo, void *, uint32_t, size_t, void *, size_t *)     \
  FUNCTION(clGetContextInfo, void *, uint32_t, size_t, void *, size_t *)          \
  FUNCTION(clGetDeviceInfo, void *, uint32_t, size_t, void *, size_t *)           \
  FUNCTION(clGetDeviceIDs, void *, uint64_t, uint32_t, void **, uint32_t *)

/* cuMemAllocAsync and cuMemFreeAsync are NULL in drivers before CUDA 11.2. */
#define FOVEA_CUDA_FUNCTIONS(FUNCTION)                        \
  FUNCTION(cuInit, unsigned)                                  \
  FUNCTION(cuCtxPushCurrent_v2, void *)                       \
  FUNCTION(cuCtxPopCurrent_v2, void **)                       \
  FUNCTION(cuCtxGetDevice, int *)                             \
  FUNCTION(cuDeviceGet, int *, int)                           \
  FUNCTION(cuDeviceGetCount, int *)                           \
  FUNCTION(cuDeviceGetAttribute, int *, int, int)             \
  FUNCTION(cuPointerGetAttribute, void *, int, uint64_t)      \
  FUNCTION(cuMemGetAddressRange_v2, uint64_t *, size_t *, uint64_t) \
  FUNCTION(cuMemAllocAsync, uint64_t *, size_t, void *)       \
  FUNCTION(cuMemFreeAsync, uint64_t, void *)

#define FIELD(name, ...) int (*name)(__VA_ARGS__);
struct fovea_opencl { FOVEA_OPENCL_FUNCTIONS(FIELD) };
struct fovea_cuda { FOVEA_CUDA_FUNCTIONS(FIELD) };
#undef FIELD

/* The driver, loaded; NULL: there is none. */
const struct fovea_opencl *fovea_opencl(void);
const struct fovea_cuda *fovea_cuda(void);

#endif /* FOVEA_RUNTIME_DEVICE_DRIVER_H */
