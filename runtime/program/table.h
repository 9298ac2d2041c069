/* The one symbol of a compiled model: its stages as functions and everything else about it as JSON.
 *
 * A program is this table plus libFoveaProgram.a, which has main() and runs any such table. The JSON's schema is
 * docs/program-table.md. This header compiles alone in C99 and C++. */
#ifndef FOVEA_RUNTIME_PROGRAM_TABLE_H
#define FOVEA_RUNTIME_PROGRAM_TABLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOVEA_MODEL_ABI 2u

/* One stage. args[k] belongs to argument k of the stage's list in the JSON: for a scalar a pointer to its value, for a
 * tensor a pointer to a memref descriptor { void *allocated, *aligned; int64_t offset, sizes[rank], strides[rank]; }.
 * Every buffer is the runtime's, 64-byte aligned except for parameters read in place, and is never null. Returns 0 or a
 * status; calls from several threads at once are allowed. */
typedef int32_t (*fovea_stage)(void **args);

/* What one operation of the stages has cost: all calls together, nanoseconds of the threads that called the stage, floating-point operations, and
 * bytes of operands and results. */
struct fovea_operation {
  int64_t calls, nanoseconds, flops, bytes;
};

typedef struct fovea_model {
  uint32_t abi;                        /* FOVEA_MODEL_ABI */
  uint32_t stage_count;
  const char *json;                    /* UTF-8, no terminating 0 needed */
  uint64_t json_length;
  const fovea_stage *stages;           /* [stage_count], in the order of "stages" */
  const unsigned char *const *files;   /* embedded files, in the order of "files", which holds names and lengths */
  int (*set_threads)(int count);       /* the object's fovea_set_threads; may be null */
  const char *(*last_error)(void);     /* the object's fovea_last_error: the calling thread's sentence; may be null */
  void (*profile)(struct fovea_operation *operations);   /* an entry for each of "operations" is added to from now on; may be null */
} fovea_model;

extern const fovea_model fovea_model_table;

#ifdef __cplusplus
}
#endif

#endif /* FOVEA_RUNTIME_PROGRAM_TABLE_H */
