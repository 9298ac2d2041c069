/* What generated code calls, and what stands between the runtime's own files. All of it is hidden in a sealed object.
 *
 * The runtime is plain C and needs libc alone. Each sealed object carries a copy; copies share nothing but the three weak
 * public functions of status.h, through which they agree on the error message and on the number of threads. */
#ifndef FOVEA_RUNTIME_KERNEL_RUNTIME_H
#define FOVEA_RUNTIME_KERNEL_RUNTIME_H

#include "runtime/include/fovea/dlpack.h"
#include "runtime/include/fovea/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The compiled body of a kernel. args[k] belongs to the k-th parameter, then to the results, in the order of the C signature:
 * for a tensor an MLIR memref descriptor {void *allocated, *aligned; int64_t offset, sizes[rank], strides[rank]}, for a scalar
 * a pointer to a float, an int32_t or a uint8_t (bool). Returns 0 or a fovea_status. */
typedef int32_t fovea_impl(void **args);

/* Checks `arguments` (DLTensor pointers and pointers to scalars, as the wrapper NAME received them) against the descriptor,
 * calls `impl`, and returns 0 or a fovea_status. Re-entrant. */
int32_t fovea_rt_invoke(const int32_t *words, const char *strings, fovea_impl *impl, void **arguments);

/* Calls a stage of a model: `args` are memref descriptors and pointers to scalars already, checked by the program's runtime. */
int32_t fovea_rt_stage(const char *name, fovea_impl *impl, void **args);

/* Writes the extent of every index (-1: known to nobody) to `extents`, from the parameters alone; the results' entries of
 * `arguments` are not read. Returns 0 or a fovea_status: so a caller learns which results to allocate. */
int32_t fovea_rt_extents(const int32_t *words, const char *strings, void **arguments, int64_t *extents);

/* A kernel of target `portable` as it is compiled for one target. */
struct fovea_variant {
  const char *target;
  const char *needs;   /* flags that the machine must have, as /proc/cpuinfo names them, with blanks between */
  fovea_impl *impl;
};

/* Calls the best of a kernel's variants, which stand worst to best, that this machine runs, or the one that FOVEA_TARGET names. `chosen`, NULL
 * before, keeps it for the next call. Returns what the variant does, or FOVEA_WRONG_TARGET. */
int32_t fovea_rt_choose(const char *kernel, const struct fovea_variant *variants, int32_t count, fovea_impl **chosen, void **args);

/* Sets this thread's message and returns `status`. */
int32_t fovea_rt_fail(int32_t status, const char *message);

/* Runs body(0, context) .. body(count - 1, context), in any order, on this thread and the pool's. Inside a body, and while
 * another thread uses the pool, it runs on this thread alone. Each body's allocations are released when it returns. */
void fovea_parallel_for(void (*body)(int64_t index, void *context), void *context, int64_t count);

/* Memory for temporaries, from this thread's arena: 64-byte aligned, never NULL, uninitialised. Where there is none left, the
 * call does not return: the kernel ends with FOVEA_OUT_OF_MEMORY. Outside of a kernel it returns NULL then. */
void *fovea_alloc(int64_t count, int64_t element_size);

/* Ends the kernel if `bytes` is more than any machine has (INT64_MAX: a product that overflowed). */
void fovea_check_size(int64_t bytes);
void *_mlir_memref_to_llvm_alloc(int64_t bytes);
void _mlir_memref_to_llvm_free(void *memory);

/* Whether this process may use AMX's tile registers, 0 or 1: the CPU has them for bf16, the system grants them, and FOVEA_TILES of the
 * environment is not 0. */
int32_t fovea_may_use_tiles(void);

/* What is allocated after a mark is given back by releasing it. Marks nest. */
int64_t fovea_arena_mark(void);
void fovea_arena_release(int64_t mark);

/* a * b, or the nearest int64_t. */
int64_t fovea_mul(int64_t a, int64_t b);

/* Bytes that all arenas of this copy may take together; < 0: no limit. Replaces FOVEA_MEMORY_LIMIT of the environment. */
void fovea_set_memory_limit(int64_t bytes);

/* Bytes that all arenas of this copy hold now. */
int64_t fovea_memory_in_use(void);

/* Of a model's stages: from now on each operation adds to its entry of `operations` (runtime/program/table.h); NULL: no longer. */
struct fovea_operation;
void fovea_rt_profile(struct fovea_operation *operations);
int fovea_rt_profiling(void);
/* Around an operation. `begin` gives the time, or 0 where nobody profiles. */
int64_t fovea_rt_operation_begin(void);
void fovea_rt_operation_end(int64_t number, int64_t began, int64_t flops, int64_t bytes);

/* Of a kernel for target host-count: its fovea_count_list enters and leaves the list that starts at `head`. */
void fovea_rt_enter_counts(void *head, void *list);
void fovea_rt_leave_counts(void *head, void *list);

#ifdef __cplusplus
}
#endif
#endif /* FOVEA_RUNTIME_KERNEL_RUNTIME_H */
