/* What the runtime's own files share. */
#ifndef FOVEA_RUNTIME_KERNEL_INTERNAL_H
#define FOVEA_RUNTIME_KERNEL_INTERNAL_H

#include "runtime/kernel/descriptor.h"
#include "runtime/kernel/runtime.h"

#include <setjmp.h>
#include <stddef.h>

/* Every version's fovea_last_error() returns a writable buffer of at least this size: copies of the runtime write their
 * messages through it, so that whichever copy's function the linker kept shows them all. Never lower it. */
#define FOVEA_ERROR_BYTES 1024

struct fovea_chunk;
struct fovea_block;

struct fovea_thread {
  jmp_buf *escape;              /* where fovea_alloc jumps when memory is out; NULL outside of a kernel */
  int64_t wanted;               /* bytes that were not to be had, set before the jump */
  int inside;                   /* this thread runs a parallel body */
  struct fovea_chunk *chunk;    /* the chunk allocated from */
  char *top, *limit;            /* its free part */
  struct fovea_block *block;    /* last block of halide_malloc */
  struct fovea_spare *spare;    /* temporaries that were given back, for reuse until the call ends */
};

extern _Thread_local struct fovea_thread fovea_this_thread __attribute__((visibility("hidden")));

/* Starts with lower case, no full stop; the kernel's name goes before it, if it has one. */
int32_t fovea_failf(int32_t status, const char *kernel, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A kernel's arguments while they are checked. All arrays have an entry an argument, parameters first. */
struct fovea_call {
  const int32_t *words;
  const char *strings;
  void **arguments;   /* as given */
  int count;          /* arguments looked at: the parameters, or all */
  int parameters;     /* of them parameters */
  int64_t *extents;   /* an index: its extent, or -1 */
  int64_t *source;    /* an index: the argument that gave its extent, or -1 */
};

static inline const int32_t *fovea_argument(const struct fovea_call *call, int k) {
  return call->words + call->words[FOVEA_D_ARGUMENTS_AT] + k * FOVEA_A_WORDS;
}
static inline const int32_t *fovea_index(const struct fovea_call *call, int k) {
  return call->words + call->words[FOVEA_D_INDICES_AT] + k * FOVEA_I_WORDS;
}
static inline const char *fovea_string(const struct fovea_call *call, int32_t at) { return call->strings + at; }
static inline const char *fovea_kernel_name(const struct fovea_call *call) {
  return fovea_string(call, call->words[FOVEA_D_NAME]);
}
static inline int64_t fovea_wide(const int32_t *two) {
  return (int64_t)((uint64_t)(uint32_t)two[0] | (uint64_t)(uint32_t)two[1] << 32);
}

/* evaluate.c: what became of a program's value. */
enum { FOVEA_LEFT_I32 = 1, FOVEA_LEFT_I64 = 2 };
struct fovea_value {
  int64_t i;
  float f;
  int32_t left;       /* FOVEA_LEFT_*: an integer on the way did not fit */
};
struct fovea_value fovea_evaluate(const struct fovea_call *call, int32_t program_at);

/* check.c: NULL pointers, device, type, rank, extents, scalars, constraints. Fills extents and source. */
int32_t fovea_check_shapes(struct fovea_call *call);

/* The bytes that a tensor covers; of a tensor without elements none. */
struct fovea_place {
  const void *memory;   /* a cl_mem, in which begin and end count; NULL: they are addresses */
  uintptr_t begin, end;
  int on_device;        /* the host cannot read there */
};

/* layout.c: strides, spans, alignment. Fills a memref descriptor, whose address of an OpenCL tensor counts in its cl_mem. */
int32_t fovea_check_layout(const struct fovea_call *call, int k, int64_t *memref, struct fovea_place *place);
int32_t fovea_check_sorted(const struct fovea_call *call, int k, const int64_t *memref);
int64_t fovea_element_size(int32_t type);

/* What a kernel for a GPU does otherwise. */
struct fovea_way {
  /* Finds out where a tensor on the device really lies: is it the device of the call, and inside its memory? A cl_mem that is a part of another
   * becomes that one, and its place and memref count there. */
  int32_t (*locate)(const struct fovea_call *call, int k, int64_t *memref, struct fovea_place *place);
  /* Calls the body. Tensors on the device that must be sorted are not checked yet. */
  int32_t (*run)(const struct fovea_call *call, int32_t (*impl)(void **), void **args, const struct fovea_place *places);
};

/* invoke.c: as fovea_rt_invoke (runtime.h), on the CPU where `way` is NULL. */
int32_t fovea_invoke(const int32_t *words, const char *strings, int32_t (*impl)(void **), void **arguments, const struct fovea_way *way);

/* overlap.c: could two tensors, given as memref descriptors, share a byte? Exact but for layouts too odd to decide quickly. */
int fovea_may_overlap(const int64_t *a, int a_rank, int64_t a_size, const int64_t *b, int b_rank, int64_t b_size);
/* Could two elements of one tensor be the same? */
int fovea_repeats(const int64_t *memref, int rank);

/* Where a memref descriptor keeps what. */
enum { FOVEA_M_ALLOCATED, FOVEA_M_ALIGNED, FOVEA_M_OFFSET, FOVEA_M_SIZES };
static inline int64_t *fovea_strides(int64_t *memref, int rank) { return memref + FOVEA_M_SIZES + rank; }

/* choose.c: does this machine have a flag of /proc/cpuinfo? -1: it is none that targets need. */
int fovea_machine_has(const char *flag, size_t length);

/* threads.c: the jump out of a kernel; `wanted` bytes were not to be had. Returns only outside of a kernel. */
void fovea_escape(int64_t wanted);

/* arena.c: the library goes, so that no thread may call into it at its end any more. */
void fovea_arena_forget_threads(void);

#endif /* FOVEA_RUNTIME_KERNEL_INTERNAL_H */
