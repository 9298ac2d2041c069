/* Kernels for a GPU in the context and the stream of their caller. Every object for target `opencl` or `cuda` defines these functions (weak: a
 * program keeps one of each). */
#ifndef FOVEA_DEVICE_H_
#define FOVEA_DEVICE_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From now on kernels that this thread calls run in `context` on `stream`, and take tensors of that context beside those in CPU memory:
 *   device_type     context        stream                                                     a DLTensor's data, of device
 *   kDLOpenCL (4)   cl_context     cl_command_queue, which runs commands in order             a cl_mem; kDLOpenCL
 *   kDLCUDA (2)     CUcontext      CUstream, or NULL for the context's default stream         an address; kDLCUDA or kDLCUDAManaged
 * NULL and NULL go back to a context that Fovea makes, of which no caller has memory. Both belong to the caller, and stay valid while they are set;
 * a CUcontext in which a kernel ran stays until no kernel of the object is called any more.
 *
 * Returns 0; FOVEA_WRONG_DEVICE: no such type, a queue of another context or out of order, a context of several devices; FOVEA_NULL_POINTER: one
 * of two that belong together is missing; FOVEA_DEVICE_FAILED: there is no driver, or it refuses the context. Nothing changes then. */
int fovea_set_device_stream(int32_t device_type, void *context, void *stream);

/* What this thread has set, for objects of Fovea: the context, the stream and the device's number; NULL for other types. */
void **fovea_device_stream(int32_t device_type);

#ifdef __cplusplus
}
#endif
#endif /* FOVEA_DEVICE_H_ */
