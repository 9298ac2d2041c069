/* What the files of the devices' runtime share. */
#ifndef FOVEA_RUNTIME_DEVICE_INTERNAL_H
#define FOVEA_RUNTIME_DEVICE_INTERNAL_H

#include "runtime/device/launch.h"
#include "runtime/kernel/internal.h"

#include "HalideRuntime.h"

#include <stdbool.h>

struct fovea_device_target {
  int32_t dlpack;                  /* DLDeviceType */
  const char *words, *library;     /* as messages call it; its driver, but for a version */
};
static const struct fovea_device_target fovea_device_targets[] = {
#define DEVICE_TARGET(name, kind, dlpack, words, library, halide, unroll) [kind] = {dlpack, words, library},
#include "runtime/device/Devices.def"
};

/* Of Halide's runtime, declared in none of its headers. The first three are ours (stream.c). */
int halide_cuda_acquire_context(void *user_context, void **context, bool create);
int halide_cuda_get_stream(void *user_context, void *context, void **stream);
int halide_release_cl_context(void *user_context);
int halide_cuda_release_context(void *user_context);
void *halide_cuda_get_symbol(void *user_context, const char *name);
void *halide_opencl_get_symbol(void *user_context, const char *name);

/* What a memref of device code points to. */
struct fovea_device_memory {
  struct halide_buffer_t whole;    /* in units as large as its size allows */
  struct halide_dimension_t dimension;
  int64_t bytes;
  int borrowed;                    /* the caller's */
  void *context, *stream;          /* of CUDA's memory that is taken and given back in a stream's order; else NULL */
  struct fovea_device_memory *next, **link;   /* all of this call; of what outlives a call NULL */
};

/* What a call in progress knows. */
struct fovea_device_call {
  const struct halide_device_interface_t *interface;
  const char *device, *name;       /* as messages call the device, and the kernel or stage; NULL: none */
  struct fovea_device_memory *memory;
  int32_t status;
  jmp_buf escape;
};
extern _Thread_local struct fovea_device_call *fovea_device_this_call;

/* What Halide's runtime said first since it was last cleared. */
extern _Thread_local char fovea_device_complaint[256];

/* surroundings.c: is there a device? Gives the call up where there is none. */
void fovea_device_find(int kind);

/* call.c: runs `body` with a device; what it takes there is given back, after a failure too. `name` stands in front of messages,
 * unless it is NULL. */
int32_t fovea_device_enter(int kind, const char *name, int32_t (*body)(void *), void *context);
/* Ends the call that is in progress. */
void fovea_device_give_up(int32_t status, const char *what) __attribute__((noreturn));
/* The same where Halide's runtime returned an error. Its message is cleared by fovea_device_try. */
void fovea_device_must(int error, const char *what);
static inline void fovea_device_try(void) { fovea_device_complaint[0] = 0; }

/* stream.c: where fovea_device_stream's answer has what. */
enum { FOVEA_STREAM_CONTEXT, FOVEA_STREAM_STREAM, FOVEA_STREAM_NUMBER, FOVEA_STREAM_WORDS };

/* place.c: see struct fovea_way. */
int32_t fovea_device_locate(const struct fovea_call *call, int k, int64_t *memref, struct fovea_place *place);

/* memory.c: a caller's cl_mem, or its memory from a CUDA address on, of `bytes` bytes. */
struct fovea_device_memory *fovea_device_borrow(uint64_t handle, int64_t bytes);
/* What was taken during a call outlives it. */
void fovea_device_keep(struct fovea_device_memory *memory);
/* Between `count` bytes of the device, `at` bytes from the memory's first, and of the host. */
void fovea_device_write(struct fovea_device_memory *memory, int64_t at, const void *host, int64_t count);
void fovea_device_read(const struct fovea_device_memory *memory, int64_t at, void *host, int64_t count);

/* launch.c: a nest of Halide's. */
void fovea_device_run(int (*nest)(void **), void **arguments);

#endif /* FOVEA_RUNTIME_DEVICE_INTERNAL_H */
