/* Do two strided tensors share memory? A shared byte is a solution of
 *   sum of coefficient[k] * x[k] = target,   0 <= x[k] <= most[k],
 * with a term for each axis of both tensors and one for the bytes of an element of each. Solved by depth-first search, largest
 * coefficient first, as NumPy does: the strides of real layouts leave a value or two to try at each level. */
#include "runtime/kernel/internal.h"

struct term {
  int64_t coefficient, most;   /* both > 0 */
  int64_t rest;                /* the largest sum of the terms after this one */
  int64_t divisor;             /* of all coefficients from this one on */
};

struct problem {
  struct term terms[2 * FOVEA_MAX_RANK + 2];
  int count;
  int work;                    /* steps left before the answer is "perhaps" */
};

static int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static void add_term(struct problem *problem, int64_t coefficient, int64_t most) {
  if (!coefficient || !most)
    return;
  int at = problem->count++;
  for (; at > 0 && problem->terms[at - 1].coefficient < coefficient; --at)
    problem->terms[at] = problem->terms[at - 1];
  problem->terms[at] = (struct term){.coefficient = coefficient, .most = most};
}

static int solvable(struct problem *problem, int k, int64_t target) {
  if (target == 0)
    return 1;
  if (k == problem->count || target < 0)
    return 0;
  if (--problem->work < 0)
    return 1;
  const struct term *term = &problem->terms[k];
  if (target % term->divisor)
    return 0;
  int64_t high = target / term->coefficient;
  if (high > term->most)
    high = term->most;
  int64_t short_of = target - term->rest;
  int64_t low = short_of <= 0 ? 0 : (short_of + term->coefficient - 1) / term->coefficient;
  for (int64_t x = high; x >= low; --x)
    if (solvable(problem, k + 1, target - x * term->coefficient))
      return 1;
  return 0;
}

static int solve(struct problem *problem, int64_t target) {
  int64_t rest = 0, divisor = 0;
  for (int k = problem->count - 1; k >= 0; --k) {
    struct term *term = &problem->terms[k];
    term->rest = rest;
    term->divisor = divisor = greatest_common_divisor(term->coefficient, divisor);
    rest += term->coefficient * term->most;   /* spans fit an i32 in elements: no overflow */
  }
  problem->work = 20000;
  return target >= 0 && target <= rest && solvable(problem, 0, target);
}

/* The address of the lowest byte; each axis then only goes up. */
static int64_t add_axes(struct problem *problem, const int64_t *memref, int rank, int64_t size) {
  int64_t lowest = memref[FOVEA_M_ALIGNED];
  for (int k = 0; k < rank; ++k) {
    int64_t most = memref[FOVEA_M_SIZES + k] - 1, stride = memref[FOVEA_M_SIZES + rank + k] * size;
    if (stride < 0 && most > 0)
      lowest += stride * most;
    add_term(problem, stride < 0 ? -stride : stride, most);
  }
  return lowest;
}

/* low_a + ax + p = low_b + by + q; with y' = most - y and q' = size-1 - q all signs are alike. */
int fovea_may_overlap(const int64_t *a, int a_rank, int64_t a_size, const int64_t *b, int b_rank, int64_t b_size) {
  struct problem problem = {.count = 0};
  int64_t low_a = add_axes(&problem, a, a_rank, a_size);
  int64_t low_b = add_axes(&problem, b, b_rank, b_size);
  int64_t b_reach = b_size - 1;
  for (int k = 0; k < b_rank; ++k) {
    int64_t stride = b[FOVEA_M_SIZES + b_rank + k] * b_size;
    b_reach += (stride < 0 ? -stride : stride) * (b[FOVEA_M_SIZES + k] - 1);
  }
  add_term(&problem, 1, a_size + b_size - 2);
  return solve(&problem, low_b - low_a + b_reach);
}

/* A layout is taken to repeat an element unless each stride reaches beyond all smaller ones: true of every sliced, transposed
 * or broadcast layout. */
int fovea_repeats(const int64_t *memref, int rank) {
  int64_t strides[FOVEA_MAX_RANK], most[FOVEA_MAX_RANK], reach = 0;
  int count = 0;
  for (int k = 0; k < rank; ++k) {
    int64_t extent = memref[FOVEA_M_SIZES + k], stride = memref[FOVEA_M_SIZES + rank + k];
    if (extent <= 1)
      continue;
    if (stride < 0)
      stride = -stride;
    int at = count++;
    for (; at > 0 && strides[at - 1] > stride; --at) {
      strides[at] = strides[at - 1];
      most[at] = most[at - 1];
    }
    strides[at] = stride;
    most[at] = extent - 1;
  }
  for (int k = 0; k < count; ++k) {
    if (strides[k] <= reach)
      return 1;
    reach += strides[k] * most[k];
  }
  return 0;
}
