/* The drivers' functions, found through Halide's runtime, which loads their libraries (surroundings.c). */
#include "runtime/device/driver.h"
#include "runtime/device/internal.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const struct fovea_opencl *fovea_opencl(void) {
  static struct fovea_opencl driver;
#define FUNCTION(name, ...) driver.name = (int (*)(__VA_ARGS__))halide_opencl_get_symbol(NULL, #name);
  pthread_mutex_lock(&lock);
  if (!driver.clGetMemObjectInfo) {
    FOVEA_OPENCL_FUNCTIONS(FUNCTION)
  }
  pthread_mutex_unlock(&lock);
#undef FUNCTION
  return driver.clGetMemObjectInfo ? &driver : NULL;
}

const struct fovea_cuda *fovea_cuda(void) {
  static struct fovea_cuda driver;
#define FUNCTION(name, ...) driver.name = (int (*)(__VA_ARGS__))halide_cuda_get_symbol(NULL, #name);
  pthread_mutex_lock(&lock);
  if (!driver.cuInit) {
    FOVEA_CUDA_FUNCTIONS(FUNCTION)
  }
  pthread_mutex_unlock(&lock);
#undef FUNCTION
  return driver.cuInit ? &driver : NULL;
}
