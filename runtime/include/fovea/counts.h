/* What kernels compiled for target host-count have counted, from the start of the program or since a caller set it to 0. */
#ifndef FOVEA_COUNTS_H_
#define FOVEA_COUNTS_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A reduction that runs under a mask. Read or set it while no kernel runs. */
typedef struct {
  const char *place;      /* where it is written: "window.attn:9:7" */
  const char *what;       /* with the indices that it reduces: "sum[j]" */
  int64_t points;         /* that its loops visited */
  int64_t rows;           /* that it ran for: rows times the extents of its indices is what it would visit without masks */
  int64_t tiles;          /* of fused attention; 0 for what is not fused */
  int64_t full, partial;  /* tiles that were computed, without and with a test at each point; the others were skipped */
} fovea_count;

/* The counts of one object. */
typedef struct fovea_count_list {
  struct fovea_count_list *next;
  int64_t number;
  fovea_count *counts;
} fovea_count_list;

/* Of all objects in the program or shared library. */
extern fovea_count_list *fovea_counts;

#ifdef __cplusplus
}
#endif
#endif /* FOVEA_COUNTS_H_ */
