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

#define FOVEA_MODEL_ABI 3u

/* One stage. args[k] belongs to argument k of the stage's list in the JSON: for a scalar a pointer to its value, for a
 * tensor a pointer to a memref descriptor { void *allocated, *aligned; int64_t offset, sizes[rank], strides[rank]; }.
 * Every buffer is the runtime's, 64-byte aligned except for parameters read in place, and is never null. Of a model whose
 * stages run on a device a tensor's pointers are what fovea_device.take gave. Returns 0 or a status; calls from several
 * threads at once are allowed. */
typedef int32_t (*fovea_stage)(void **args);

/* What one operation of the stages has cost: all calls together, nanoseconds of the threads that called the stage, floating-point operations, and
 * bytes of operands and results. */
struct fovea_operation {
  int64_t calls, nanoseconds, flops, bytes;
};

/* Rows that are copied within one tensor or from one into another that shares nothing with it: for every pair {to, from}, at each of `outer` places,
 * `chunk` bytes. No row that is read is written. */
struct fovea_rows {
  void *to, *from;                       /* as a memref's pointers */
  int64_t to_at, from_at;                /* where row 0 begins, in bytes, and how far its like are apart: */
  int64_t to_row, from_row;              /* the next row's */
  int64_t to_outer, from_outer;          /* the next place's */
  int64_t outer, chunk;
  const int32_t (*pairs)[2];
  int64_t count;
};

/* A device's memory, for the tensors of stages that run there. Sizes and places are bytes. Functions return 0 or a status whose sentence
 * last_error has. What is read is as all that was called before left it. */
struct fovea_device {
  const char *name;                      /* "OpenCL" */
  int32_t (*take)(int64_t bytes, void **memory);
  void (*give)(void *memory);
  int32_t (*write)(void *memory, int64_t at, const void *host, int64_t bytes);
  int32_t (*read)(const void *memory, int64_t at, void *host, int64_t bytes);
  int32_t (*move_rows)(const struct fovea_rows *rows);
  int32_t (*wait)(void *memory);         /* until all that was begun is done */
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
  const struct fovea_device *device;   /* where tensors live; null: in the host's memory */
} fovea_model;

extern const fovea_model fovea_model_table;

#ifdef __cplusplus
}
#endif

#endif /* FOVEA_RUNTIME_PROGRAM_TABLE_H */
