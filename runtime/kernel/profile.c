/* What each operation of a model's stages costs. A stage's code tells when an operation begins and ends; while nobody profiles both return
 * at once. */
#include "runtime/kernel/internal.h"
#include "runtime/program/table.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static _Atomic(struct fovea_operation *) measured;

void fovea_rt_profile(struct fovea_operation *operations) { atomic_store(&measured, operations); }

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int fovea_rt_profiling(void) { return atomic_load_explicit(&measured, memory_order_relaxed) != NULL; }

int64_t fovea_rt_operation_begin(void) { return fovea_rt_profiling() ? nanoseconds() : 0; }

/* Stages may run on several threads at once. */
static void add(int64_t *to, int64_t amount) { __atomic_fetch_add(to, amount, __ATOMIC_RELAXED); }

void fovea_rt_operation_end(int64_t number, int64_t began, int64_t flops, int64_t bytes) {
  struct fovea_operation *operations = atomic_load_explicit(&measured, memory_order_relaxed);
  if (!operations || !began)
    return;
  add(&operations[number].nanoseconds, nanoseconds() - began);
  add(&operations[number].calls, 1);
  add(&operations[number].flops, flops);
  add(&operations[number].bytes, bytes);
}
