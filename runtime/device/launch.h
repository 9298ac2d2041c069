/* How code that the compiler made for a GPU asks the runtime to run a nest (lowering/Launch.cpp). */
#ifndef FOVEA_RUNTIME_DEVICE_LAUNCH_H
#define FOVEA_RUNTIME_DEVICE_LAUNCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A launch's arguments are 64-bit words, two for each: its kind, and a number's bits or a pointer to a buffer's struct fovea_device_memory. A
 * buffer's kind is FOVEA_LAUNCH_BUFFER | type << 8, with the types of fovea::leaf::NestSpec::Stored. The first argument is how many points the
 * nest has. */
enum { FOVEA_LAUNCH_I32, FOVEA_LAUNCH_F32, FOVEA_LAUNCH_I64, FOVEA_LAUNCH_BOOL, FOVEA_LAUNCH_BUFFER };

/* Runs a nest, Halide's `int NAME_argv(void **)`. Does not return where that fails. */
void fovea_rt_launch(int (*nest)(void **), const int64_t *words, int64_t count);

/* The bits of an element of `bytes` bytes, once all that was launched before is done. */
int64_t fovea_rt_device_read(void *memory, int64_t at, int64_t bytes);

/* What MLIR's lowering of memref.alloc and memref.dealloc calls in code for a GPU. */
void *fovea_rt_device_alloc(int64_t bytes);
void fovea_rt_device_free(void *memory);

/* fovea_rt_invoke of a kernel for a GPU: arguments that are not on the device go there, its body runs there, results come back. */
int32_t fovea_rt_invoke_on_device(const int32_t *words, const char *strings, int32_t (*impl)(void **), void **arguments);
enum { FOVEA_DEVICE_OPENCL, FOVEA_DEVICE_CUDA };

/* A model's stage: its tensors are the device's already (runtime/program/table.h), and fovea_device_opencl and fovea_device_cuda are how
 * they got there. `name` is the stage's. */
int32_t fovea_rt_stage_on_device(int32_t kind, const char *name, int32_t (*impl)(void **), void **args);

#ifdef __cplusplus
}
#endif
#endif /* FOVEA_RUNTIME_DEVICE_LAUNCH_H */
